#!/usr/bin/env bash
# All that machines can say of the contracts: each part with what came of it, and how long it took.
# But for `make mutants`, which takes hours.
# What a part has said stays in .tools/audit. `make audit` runs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

said=.tools/audit
failed=()
mkdir -p "$said"

part() {
    local name=$1 begin=$SECONDS result=passed
    shift
    "$@" >"$said/$name.txt" 2>&1 </dev/null || result=FAILED
    printf '%-12s %s in %d s\n' "$name" "$result" $((SECONDS - begin))
    [[ $result == passed ]] && return
    failed+=("$name")
    tail -n 40 "$said/$name.txt" >&2
}

part slither make slither
part layouts python -m audit.layouts
part documents ape test tests/contracts/test_natspec.py -q
part sources make verify
part hostile ape test tests/contracts/test_hostile_*.py -q
part gas ape test tests/contracts/test_*gas*.py -q
part proofs make proofs
part invariants make invariants

((${#failed[@]} == 0)) && echo "All passed." && exit
echo "Failed: ${failed[*]}. All that was said is in $said." >&2
exit 1
