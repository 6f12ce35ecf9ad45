#!/bin/sh
# ValidateService: the container runs, is healthy, and is this release; otherwise what it said, and why it is not.
# It waits for START_SECONDS (a setting of the app, 60 by default, at most 120: the appspec's timeout).
set -eu
HOOKS=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=lib.sh
. "$HOOKS/lib.sh"

read_host || exit 1
read_release
URL=http://127.0.0.1:$(setting PORT 8080)
HEALTH=$URL$(setting HEALTH_PATH /health)
WAIT=$(setting START_SECONDS 60)
case $WAIT in
    '' | *[!0-9]* | ????*) fail "START_SECONDS is '$WAIT'; it must be a number of seconds, at most 120. Change the parameter and deploy again." ;;
esac
[ "$WAIT" -le 120 ] || WAIT=120

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
trap 'exit 143' HUP INT TERM

# Short lines and few, so that the verdict below them stays within the 2,048 characters that CodeDeploy shows.
give_up() {
    say "The container's last words:"
    bounded 10 docker logs --tail 8 "$SERVICE" 2>&1 | cut -c 1-160 || :
    say "Container: $(container 'status {{.State.Status}}, exit code {{.State.ExitCode}}, restarts {{.RestartCount}}, out of memory {{.State.OOMKilled}}' || say "none called $SERVICE")."
    fail "$*"
}

# One that died was started again by its restart policy, so the count tells, not the state of this moment.
must_live() {
    state=$(container '{{.State.Status}} {{.RestartCount}}') || give_up "there is no container $SERVICE; ApplicationStart makes it. Deploy again."
    case $state in
        'running 0') ;;
        *) give_up "the container of $COMMIT died: it started and ended by itself. Its last words are above; mend the release and push again." ;;
    esac
}

# ask URL: the status code (000 without an answer), the body in $answer.
ask() {
    curl -s --max-time 2 -o "$answer" -w '%{http_code}' "$1" || :
}

deadline=$(($(date +%s) + WAIT))
while :; do
    must_live
    health=$(ask "$HEALTH")
    # No answer in time (000) is tried again, whatever was asked: the first real requests of an app can be its slowest.
    version=000
    [ "$health" != 200 ] || version=$(ask "$URL/version")
    [ "$version" = 000 ] || break
    if [ "$(date +%s)" -ge "$deadline" ]; then
        [ "$health" != 200 ] || give_up "$URL/version did not answer within $WAIT s, though $HEALTH did. The app must name its commit there as {\"commit\": …}."
        give_up "$HEALTH did not answer 200 within $WAIT s (last: $health; 000 is no answer). The container runs but is not healthy; raise START_SECONDS if it only needs longer."
    fi
    sleep 1
done

[ "$version" = 200 ] || give_up "$URL/version answered $version, not 200. The app must name its commit there as {\"commit\": …}."
running=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["commit"])' < "$answer" 2>/dev/null) || give_up "$URL/version did not answer JSON with a commit: $(cut -c 1-160 "$answer")"
[ "$running" = "$COMMIT" ] || give_up "$URL answers as commit $running, not $COMMIT: the image was built without COMMIT, or another process has the port."
must_live

# Older images make room. None of this may fail a deployment that has succeeded.
prune() {
    repository=${IMAGE%@*}
    docker image ls --digests --format '{{.Repository}}@{{.Digest}}' "$repository" | sort -u | grep -vxF -f "$STATE_DIR/$SERVICE.images" | while read -r old; do
        docker image rm "$old" >/dev/null 2>&1 && say "Removed the old image ${old#*@}."
    done
}
[ ! -r "$STATE_DIR/$SERVICE.images" ] || prune || :

say "$COMMIT answers on $URL and is healthy."
