#!/usr/bin/env bash
# Install a wheel as a stranger would and play the demo: a new environment outside the checkout, an
# empty home, and nothing on PATH but that environment, so no Node.js, solc or Anvil can help.
# With ANVIL=path, play it on Anvil too, which is then on PATH.
#   tools/wheel_smoke.sh dist/ape_dtn-*.whl
set -euo pipefail

(($# == 1)) || { echo "usage: $0 WHEEL (just one)" >&2; exit 2; }
wheel=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/home" "$place/elsewhere"

echo "Installing ${wheel##*/} into a new environment"
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"

cd "$place/elsewhere"
alone=(env --ignore-environment HOME="$place/home" PATH="$place/venv/bin" LANG=C.UTF-8)

echo "Looking for the Solidity library inside the package"
"${alone[@]}" python - <<'PYTHON'
from importlib.resources import files

package = files("ape_dtn")
present = {file.name for file in (package / "contracts").iterdir()}
wanted = {"IDtnAi.sol", "WithDtnAi.sol", "WithDtnAiUpgradeable.sol", "DtnDefaults.sol"}
assert wanted <= present, f"missing from ape_dtn/contracts: {wanted - present}"
assert (package / "py.typed").is_file(), "py.typed is missing"
PYTHON

echo "Playing the demo"
"${alone[@]}" ape dtn demo </dev/null
if [[ -n ${ANVIL:-} ]]; then
    echo "Playing the demo on Anvil"
    "${alone[@]}" PATH="$place/venv/bin:$(dirname "$ANVIL")" \
        ape dtn demo --network ethereum:local:foundry </dev/null
fi
echo "The wheel works alone"
