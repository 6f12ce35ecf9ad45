#!/bin/sh
# AfterInstall: the container's settings, from Parameter Store into a file that only root can read.
# /<service>/<environment>/app/NAME is for every host; /<service>/<environment>/<scope>/NAME lies over it.
set -eu
HOOKS=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=lib.sh
. "$HOOKS/lib.sh"

read_host || exit 1
umask 077
mkdir -p "$RUN_DIR"
answers=$(mktemp -d "$RUN_DIR/answers.XXXXXX")
trap 'rm -rf "$answers"' EXIT
trap 'exit 143' HUP INT TERM

# The CLI follows NextToken itself, so this is all pages.
fetch() {
    bounded 15 aws ssm get-parameters-by-path --path "$1" --with-decryption --region "$REGION" --output json > "$2"
}

for layer in app "$SCOPE"; do
    path=/$SERVICE/$ENVIRONMENT/$layer
    retry 3 fetch "$path" "$answers/$layer" || fail "cannot read the parameters under $path. The message above says why: the host's role needs ssm:GetParametersByPath on that path, and kms:Decrypt for SecureStrings under a key of your own."
done

python3 -B "$HOOKS/environment.py" "$answers/app" "$answers/$SCOPE" "$ENV_FILE" \
    SERVICE="$SERVICE" ENVIRONMENT="$ENVIRONMENT" SCOPE="$SCOPE" AWS_REGION="$REGION"
