#!/bin/sh
# ApplicationStart: replace the service's container by this release's. Run twice, it does the same again.
set -eu
HOOKS=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=lib.sh
. "$HOOKS/lib.sh"

read_host || exit 1
read_release
[ -r "$ENV_FILE" ] || fail "$ENV_FILE is not there; AfterInstall makes it. Deploy again."
PORT=$(setting PORT 8080)

# The log stream is this host's, this release's: an instance's id from the metadata service, or else its name.
host_id() {
    imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
    [ "${AWS_EC2_METADATA_DISABLED:-false}" = true ] && return 1
    token=$(curl -sf --max-time 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "${imds%/}/latest/api/token") || return 1
    curl -sf --max-time 2 -H "X-aws-ec2-metadata-token: $token" "${imds%/}/latest/meta-data/instance-id"
}

set -- --log-driver "$LOG_DRIVER"
case $LOG_DRIVER in
    awslogs)
        [ -n "$LOG_GROUP" ] || fail "$HOST_FILE has no LOG_GROUP, so the container's log has nowhere to go. Replace the host."
        stream=$SCOPE/$(host_id || uname -n)/$COMMIT
        # Without blocking: neither a start nor a request waits for CloudWatch Logs. dockerd calls it, with the instance's role.
        set -- "$@" --log-opt awslogs-region="$REGION" --log-opt awslogs-group="$LOG_GROUP" --log-opt awslogs-stream="$stream" \
            --log-opt mode=non-blocking --log-opt max-buffer-size=4m
        ;;
    json-file | local) set -- "$@" --log-opt max-size=10m --log-opt max-file=3 ;;
esac

# Usually ApplicationStop has stopped it; not on the host's first deployment, nor if a stop went wrong.
if container '{{.Id}}' >/dev/null; then
    bounded 45 docker stop -t 30 "$SERVICE" >/dev/null || :
    bounded 30 docker rm -f "$SERVICE" >/dev/null || fail "cannot remove the container $SERVICE that was here. See \`journalctl -u docker\`, or replace the host."
fi

# Of the last three images one is good even if the one before this was bad; ValidateService keeps these and removes older ones.
mkdir -p "$STATE_DIR"
{
    grep -vxF "$IMAGE" "$STATE_DIR/$SERVICE.images" 2>/dev/null || :
    printf '%s\n' "$IMAGE"
} | tail -n 3 > "$STATE_DIR/$SERVICE.images.new"
mv "$STATE_DIR/$SERVICE.images.new" "$STATE_DIR/$SERVICE.images"

if ! bounded 60 docker run -d --name "$SERVICE" --pull never --restart unless-stopped --stop-timeout 30 --env-file "$ENV_FILE" \
    -p "$PORT:$PORT" --label "handsoff.commit=$COMMIT" "$@" "$IMAGE" >/dev/null; then
    docker rm -f "$SERVICE" >/dev/null 2>&1 || :
    fail "Docker did not start the container of $COMMIT. The message above says why; an allocated port means that something else on this host has $PORT."
fi
say "Started the container $SERVICE of $COMMIT on port $PORT; its log goes to $LOG_DRIVER${stream:+, stream $stream}."
