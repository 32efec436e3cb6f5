#!/usr/bin/env bash
# Say in one go what the machine lacks, and how Debian provides it.
set -euo pipefail

python=${PYTHON:-python3}
missing=()
packages=()

lack() { # what is lacking, then the Debian packages that bring it
    missing+=("$1")
    packages+=("${@:2}")
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    lack "Python 3.10 or newer (tried '$python'; make PYTHON=... names another)" python3 python3-venv
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "Python's venv module" python3-venv
fi

# Debian's python3-venv serves only Debian's python3, but no other package name is certain.
if ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null; then
    lack "Node.js 18 or newer" nodejs
fi
if ! npm --version >/dev/null 2>&1; then
    lack "npm" npm
fi

((${#missing[@]})) || exit 0

{
    printf 'Missing: %s\n' "${missing[@]}"
    [[ $(id -u) == 0 ]] && sudo="" || sudo="sudo "
    printf 'On Debian: %sapt-get install %s\n' "$sudo" "${packages[*]}"
} >&2
exit 1
