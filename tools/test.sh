#!/usr/bin/env bash
# Run the tests: all of them in workers, each with an Anvil and a data folder of its own. There is
# one for each core, and one more, since tests wait as often as they compute. With arguments, which
# go to pytest, run what they say in one process.
#   tools/test.sh [pytest arguments]
set -euo pipefail

# Anvil leaves the states of old blocks in the home of whoever runs it: gigabytes, so not in yours.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HOME=$home

if (($#)); then
    ape test "$@"
    exit
fi

# Once, before the workers would all do it.
compiled=$home/compiled
ape compile >"$compiled" 2>&1 || { cat "$compiled" >&2; exit 1; }

workers=()
for ((worker = 0; worker <= $(getconf _NPROCESSORS_ONLN); worker++)); do
    data=$home/ape.$worker
    cp -r "$APE_DATA_FOLDER/." "$data"
    workers+=(--tx "popen//id=gw$worker//env:APE_DATA_FOLDER=$data")
done
ape test "${workers[@]}" --dist worksteal --durations=20 --durations-min=1
