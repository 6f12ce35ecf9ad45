# shellcheck shell=sh disable=SC2034 # the hooks use what is set here
# Shared by the hooks, which source it: where things are, how they speak, how they wait. POSIX sh.
#
# A hook needs only sh with coreutils, aws, docker, curl and python3 (3.9 or newer). It says in short sentences what it did, or what
# went wrong and what to do next. CodeDeploy shows people the last 2,048 characters of that, so the verdict comes last.

# One stream, so that what went wrong stands where it happened, below the output of the command that it happened to.
exec 2>&1

# The agent's PATH is whatever started it.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
export AWS_PAGER=''

BUNDLE=$(CDPATH='' cd -- "$HOOKS/.." && pwd)
HOST_FILE=${HANDSOFF_ETC:-/etc/handsoff}/host.env
RUN_DIR=${HANDSOFF_RUN:-/run/handsoff}
STATE_DIR=${HANDSOFF_STATE:-/var/lib/handsoff}

say() {
    printf '%s\n' "$*"
}

# To the second stream, which is the first one's twin: inside $(…) it still reaches the reader.
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Sets SERVICE, ENVIRONMENT, SCOPE, REGION, LOG_GROUP and LOG_DRIVER. Returns 1, having said why, if the host does not know them.
read_host() {
    if [ ! -r "$HOST_FILE" ]; then
        say "$HOST_FILE is not there: this host's user data did not finish. See /var/log/cloud-init-output.log, or replace the host."
        return 1
    fi
    # shellcheck source=/dev/null
    . "$HOST_FILE"
    LOG_GROUP=${LOG_GROUP:-}
    LOG_DRIVER=${LOG_DRIVER:-awslogs}
    ENV_FILE=$RUN_DIR/${SERVICE:-}.env
    for name in SERVICE ENVIRONMENT SCOPE REGION; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154 # eval sets it
        if [ -z "$value" ]; then
            say "$HOST_FILE has no $name: this host's user data did not finish. Replace the host."
            return 1
        fi
    done
}

# Sets COMMIT, DIGEST and IMAGE (by digest, of this Region) from the bundle's release.json, or fails.
read_release() {
    release=$(python3 -B "$HOOKS/release.py" "$BUNDLE/release.json" "$REGION") || exit 1
    # shellcheck disable=SC2086 # three words, checked by release.py
    set -- $release
    COMMIT=$1 DIGEST=$2 IMAGE=$3
}

# setting NAME DEFAULT: what the container's environment says, or the default.
setting() {
    value=$(sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1)
    printf '%s\n' "${value:-$2}"
}

# bounded SECONDS COMMAND…: as the command, or 124 after that time. In the foreground: the agent stops a hook by its process group.
bounded() {
    limit=$1
    shift
    timeout --foreground -k 5 "$limit" "$@"
}

# retry TRIES COMMAND…: until it succeeds, with 2, 4, 8… seconds between; the last failure's status.
retry() {
    tries=$1
    shift
    pause=2
    attempt=1
    while :; do
        status=0
        "$@" || status=$?
        [ "$status" -ne 0 ] || return 0
        [ "$attempt" -lt "$tries" ] || return "$status"
        say "Try $attempt of $tries failed (exit $status); trying again in $pause s." >&2
        sleep "$pause"
        pause=$((pause * 2))
        attempt=$((attempt + 1))
    done
}

# container FORMAT: a docker inspect of the service's container; fails quietly if there is none.
container() {
    docker container inspect -f "$1" "$SERVICE" 2>/dev/null
}
