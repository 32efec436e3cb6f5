#!/usr/bin/env bash
# Run the tests in two halves, one beside the other, each with an Anvil of its own. With arguments,
# which go to pytest, run what they say, as one.
#   tools/test.sh [pytest arguments]
set -euo pipefail

# Anvil leaves the states of old blocks in the home of whoever runs it: gigabytes, so not in yours.
home=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$home"' EXIT

# It gets a port below those that connections are given: one that was lately in use for a connection
# cannot be listened on.
tests() {
    HOME=$home APE_FOUNDRY_HOST=http://127.0.0.1:$((20000 + RANDOM % 12000)) ape test "$@"
}

# What Ape keeps of its chain is the half's own: two that begin in the same second look the same.
half_of_them() {
    local data
    data=$(mktemp -d "$home/ape.XXXXXX")
    cp -r "$APE_DATA_FOLDER/." "$data"
    APE_DATA_FOLDER=$data tests --durations=25 --durations-min=5 "$@"
}

if (($#)); then
    tests "$@"
    exit
fi

# As long as all the others together; the durations tell when that is so no more.
half=(tests/cli tests/deploying tests/scaffold tests/contracts)
told=$home/told

ape compile >"$told" 2>&1 || { cat "$told" >&2; exit 1; } # once, and not by both at the same time
half_of_them "${half[@]}" >"$told" 2>&1 &
others=0
half_of_them "${half[@]/#/--ignore=}" || others=$?
beside=0
wait $! || beside=$?
cat "$told"
exit $((others > beside ? others : beside))
