#!/bin/sh
# BeforeInstall: bring the release's image to this host, by digest. The login to ECR lasts only as long as this script.
set -eu
HOOKS=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=lib.sh
. "$HOOKS/lib.sh"

read_host || exit 1
read_release
REGISTRY=${IMAGE%%/*}

bounded 20 docker version >/dev/null || fail "Docker does not answer on this host. See \`journalctl -u docker\`, or replace the host."

# A digest names its content, so an image that is here is the right one. A way back then needs neither ECR nor the network.
if bounded 20 docker image inspect "$IMAGE" >/dev/null 2>&1; then
    say "The image of $COMMIT is on this host already: $DIGEST."
    exit 0
fi

# Credentials go to a folder of our own, never to root's, and leave with it however this script ends.
DOCKER_CONFIG=$(mktemp -d)
export DOCKER_CONFIG
log_out() {
    docker logout "$REGISTRY" >/dev/null 2>&1 || :
    rm -rf "$DOCKER_CONFIG"
}
trap log_out EXIT
trap 'exit 143' HUP INT TERM

log_in() {
    password=$(bounded 20 aws ecr get-login-password --region "$REGION") || return
    # Success warns that the password is stored, which is what the folder above is for: only a failure's words are passed on.
    if ! said=$(printf '%s' "$password" | bounded 20 docker login --username AWS --password-stdin "$REGISTRY" 2>&1); then
        say "$said" >&2
        return 1
    fi
}

retry 3 log_in || fail "cannot log in to $REGISTRY. The message above says why: the host's role needs ecr:GetAuthorizationToken, and the host a way to ECR."
retry 3 bounded 100 docker pull --quiet "$IMAGE" >/dev/null || fail "cannot pull $IMAGE. The message above says why: the image must exist in $REGION, the host's role may pull it, and the disk has room (docker system df)."
say "Pulled the image of $COMMIT: $DIGEST."
