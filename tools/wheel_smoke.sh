#!/usr/bin/env bash
# Install a wheel as a stranger would and play the demo: a new environment outside the checkout, an
# empty home, and nothing on PATH but that environment, so no Node.js, solc or Anvil can help.
# With ANVIL=path, play it on Anvil too, which is then on PATH. With SOLC=path, a file called
# solc-vX.Y.Z, run the tests of a new project, which have to be compiled.
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
wanted = {"idtn-ai.sol", "with-dtn-ai.sol", "with-dtn-ai-upgradeable.sol", "dtn-defaults.sol"}
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
if [[ -n ${SOLC:-} ]]; then
    echo "Running the tests of a new project"
    requirements=("$wheel[solidity]" pytest)
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]}"
    # The compiler may be the npm package's, which runs on Node.js.
    with_solc=("${alone[@]}" SOLCX_BINARY_PATH="$(dirname "$SOLC")")
    if node=$(command -v node); then with_solc+=(PATH="$place/venv/bin:$(dirname "$node")"); fi
    "${with_solc[@]}" ape dtn init oracle </dev/null
    cd oracle
    "${with_solc[@]}" ape dtn generate AgeCheck --prompt "Is {0:address} older than {1:uint8}?" \
        --api "string[] -> string" </dev/null
    "${with_solc[@]}" ape test </dev/null
fi
echo "The wheel works alone"
