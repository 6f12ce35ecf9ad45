#!/bin/sh
# ApplicationStop: let the running container finish its requests and stop it. Never fails a deployment: nothing to stop is fine, and
# what cannot be stopped here is replaced by ApplicationStart. It belongs to the release that was installed before.
set -eu
HOOKS=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=lib.sh
. "$HOOKS/lib.sh"

read_host || { say 'Nothing is stopped here.'; exit 0; }

# `docker stop` sends SIGTERM and, after this time, SIGKILL.
DRAIN_SECONDS=25

if ! status=$(bounded 10 docker container inspect -f '{{.State.Status}}' "$SERVICE" 2>/dev/null); then
    say "There is no container $SERVICE to stop, or Docker does not answer."
elif bounded 35 docker stop -t "$DRAIN_SECONDS" "$SERVICE" >/dev/null; then
    code=$(container '{{.State.ExitCode}}' || say unknown)
    say "Stopped the container $SERVICE (it was $status; exit code $code)."
    [ "$code" != 137 ] || say "It had not ended $DRAIN_SECONDS s after SIGTERM and was killed: requests may have been cut off."
else
    say "The container $SERVICE (it was $status) did not stop; ApplicationStart will replace it."
fi
exit 0
