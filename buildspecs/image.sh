#!/bin/sh
# The steps of image.yaml: image.sh check|test|log-in|build|push|bundle|log-out. POSIX sh; run from the top of the source.
#
# A release is one image, named by its digest, in each repository of IMAGE_REPOSITORIES (<Region>=<URI>, separated by blanks) under the
# tag COMMIT. Tags are immutable, so what a Region has under this tag is the release: an earlier, interrupted build of the same commit
# is gone on with, not made again.
# Between steps, build/release/ holds digests/<Region> (of the Regions that have the image) and digest (of all of them).
set -eu

WORK=build/release
BUNDLE=build/bundle

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# regions: the Region of each repository, in their order.
regions() {
    for entry in $IMAGE_REPOSITORIES; do say "${entry%%=*}"; done
}

# repository REGION: the URI of its repository, <registry>/<name>.
repository() {
    for entry in $IMAGE_REPOSITORIES; do
        [ "${entry%%=*}" != "$1" ] || say "${entry#*=}"
    done
}

# registry REGION: the host that its repository is on.
registry() {
    uri=$(repository "$1")
    say "${uri%%/*}"
}

# Each of them is used later; a missing one is better said now than guessed from what it breaks.
check() {
    for name in SERVICE IMAGE_REPOSITORIES BASE_IMAGE; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154 # eval sets it
        [ -n "$value" ] || fail "$name is not set; the build project sets it."
    done
    for entry in $IMAGE_REPOSITORIES; do
        case $entry in
            ?*=?*/?*) ;;
            *) fail "'$entry' in IMAGE_REPOSITORIES is not <Region>=<URI of a repository>; the build project sets it." ;;
        esac
    done
    case ${COMMIT:-} in
        '' | *[!0-9a-f]*) fail "'${COMMIT:-}' is not a commit; the source must be one that CodePipeline resolves to a commit (CODEBUILD_RESOLVED_SOURCE_VERSION)." ;;
    esac
    rm -rf "$WORK" "$BUNDLE"
    mkdir -p "$WORK/digests" "$BUNDLE"
    say "Building $SERVICE at $COMMIT for $(regions | tr '\n' ' ')"
}

# The app's unit tests, where it has such. An app in another language runs its own in a stage of its Dockerfile.
unit_tests() {
    if [ -d app/tests ]; then
        python3 -m unittest discover -s app/tests -t app || fail "the unit tests of app/; the lines above say which."
    else
        say 'There is no app/tests: nothing is tested before the image is built.'
    fi
}

log_in() {
    for region in $(regions); do
        password=$(aws ecr get-login-password --region "$region") || fail "no ECR password in $region; the message above says why."
        printf '%s' "$password" | docker login --username AWS --password-stdin "$(registry "$region")" || fail "cannot log in to ECR in $region."
    done
}

log_out() {
    for region in $(regions); do
        docker logout "$(registry "$region")" || :
    done
}

# digest_in REGION: writes digests/<Region> if the Region has the commit's image; returns 1 if it has not; fails if it cannot be told.
digest_in() {
    uri=$(repository "$1")
    if digest=$(aws ecr describe-images --region "$1" --repository-name "${uri#*/}" --image-ids "imageTag=$COMMIT" \
        --query 'imageDetails[0].imageDigest' --output text 2>"$WORK/error"); then
        case $digest in
            sha256:*) printf '%s\n' "$digest" >"$WORK/digests/$1" ;;
            None) return 1 ;; # an answer without images
            *) fail "ECR in $1 names '$digest' as the digest of $COMMIT, which is none." ;;
        esac
    elif grep -q ImageNotFoundException "$WORK/error"; then
        return 1
    else
        cat "$WORK/error" >&2
        fail "cannot ask ECR in $1 for the tag $COMMIT of ${uri#*/}."
    fi
}

# Build, unless some Region has this commit's image: then that one is the release.
build() {
    image=$SERVICE:$COMMIT
    for region in $(regions); do
        if digest_in "$region"; then
            digest=$(cat "$WORK/digests/$region")
            say "$region has the image of $COMMIT already: $digest. It is used, and not built again."
            reference=$(repository "$region")@$digest
            docker pull "$reference" || fail "cannot pull $reference."
            docker tag "$reference" "$image"
            return
        fi
    done
    # The classic builder keeps the container of a step that failed unless told otherwise; BuildKit takes the option and has none.
    docker build --force-rm --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "SERVICE=$SERVICE" --build-arg "COMMIT=$COMMIT" --tag "$image" app ||
        fail "docker build of app/ failed; the lines above say why. Nothing was pushed, nothing is deployed."
}

# Push where it is missing, then hold every Region to the one digest.
push() {
    [ "${CODEBUILD_BUILD_SUCCEEDING:-0}" = 1 ] || fail "the build phase failed, so there is nothing to push; its reason is above."
    for region in $(regions); do
        if digest_in "$region"; then
            continue
        fi
        reference=$(repository "$region"):$COMMIT
        docker tag "$SERVICE:$COMMIT" "$reference"
        # A push can fail because another build of this commit was quicker: what counts is what the Region has afterwards.
        docker push "$reference" || say "The push to $region did not go through."
        digest_in "$region" || fail "$region does not have the image of $COMMIT after the push; the lines above say why. Retry the build: it goes on from here."
    done
    for region in $(regions); do
        digest=$(cat "$WORK/digests/$region")
        [ -f "$WORK/digest" ] || printf '%s\n' "$digest" >"$WORK/digest"
        [ "$digest" = "$(cat "$WORK/digest")" ] ||
            fail "$region has $digest under $COMMIT, another Region $(cat "$WORK/digest"); delete that tag in one of them and retry, or push a new commit."
        say "$region: $(repository "$region")@$digest"
    done
}

# The bundle is what CodeDeploy gets: appspec, hooks, and the release as data.
bundle() {
    cp -R appspecs/image/. "$BUNDLE/"
    find "$BUNDLE" -name __pycache__ -prune -exec rm -rf {} +
    images=$(for region in $(regions); do say "$region=$(repository "$region")@$(cat "$WORK/digest")"; done)
    # shellcheck disable=SC2086 # one word a Region
    python3 -c '
import datetime, json, sys
service, commit, digest, *images = sys.argv[1:]
built = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
release = {"service": service, "commit": commit, "digest": digest, "images": dict(image.split("=", 1) for image in images), "built": built}
print(json.dumps(release, indent=2))' "$SERVICE" "$COMMIT" "$(cat "$WORK/digest")" $images >"$BUNDLE/release.json"
    cat "$BUNDLE/release.json"
}

case ${1:-} in
    check) check ;;
    test) unit_tests ;;
    log-in) log_in ;;
    build) build ;;
    push) push ;;
    bundle) bundle ;;
    log-out) log_out ;;
    *)
        say 'usage: image.sh check|test|log-in|build|push|bundle|log-out' >&2
        exit 2
        ;;
esac
