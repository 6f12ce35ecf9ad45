#!/bin/sh
# The steps of tests.yaml: tests.sh check|functional|load. POSIX sh; run from the top of the source.
set -eu

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Each of them is used later; a missing one is better said now than guessed from what it breaks.
check() {
    for name in SERVICE ENDPOINTS LOAD_SECONDS; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154 # eval sets it
        [ -n "$value" ] || fail "$name is not set; the pipeline sets it."
    done
    for entry in $ENDPOINTS; do
        case $entry in
            ?*=http://?* | ?*=https://?*) ;;
            *) fail "'$entry' in ENDPOINTS is not <Region>=<URL>; the pipeline sets it." ;;
        esac
    done
    case ${COMMIT:-} in
        '' | *[!0-9a-f]*) fail "'${COMMIT:-}' is not a commit; the source must be one that CodePipeline resolves to a commit (CODEBUILD_RESOLVED_SOURCE_VERSION)." ;;
    esac
}

# Every Region is asked, also after one that failed: which ones fail is half of why.
functional() {
    if [ ! -d app/integration_tests ]; then
        printf 'There is no app/integration_tests: a load, the gate and the alarms are all that judges this release.\n'
        return
    fi
    failed=
    for entry in $ENDPOINTS; do
        printf 'Tests against %s\n' "$entry"
        ENDPOINT=${entry#*=} python3 -m unittest discover -v -s app/integration_tests -t app || failed="$failed ${entry%%=*}"
    done
    [ -z "$failed" ] || fail "tests against$failed; the lines above say which."
}

load() {
    if [ "$LOAD_SECONDS" = 0 ]; then
        printf 'No load is asked for.\n'
        return
    fi
    python3 buildspecs/load.py
}

case ${1:-} in
    check) check ;;
    functional) functional ;;
    load) load ;;
    *)
        printf 'usage: tests.sh check|functional|load\n' >&2
        exit 2
        ;;
esac
