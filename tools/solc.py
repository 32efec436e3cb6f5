"""Put the Solidity compiler where py-solc-x looks for it: ``solc.py FOLDER/solc-vX.Y.Z``.

Taken is the first of three that answers with the wanted version: a ``solc`` on PATH, py-solc-x's
own download, and the compiler of the npm package. All three produce the same bytecode; the last
is slower, but needs neither a download outside npm nor a build for this platform.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version
from solcx.wrapper import get_solc_version

DOWNLOAD_SECONDS = 15  # py-solc-x sets no limit, and a closed network may stay silent for ever


def installed() -> Path | None:
    """Find the compiler that the user has."""
    solc = shutil.which("solc")
    return Path(solc) if solc else None


def downloaded(version: str, folder: Path) -> Path | None:
    """Let py-solc-x download into a folder of its own, where half a file does no harm."""
    command = [sys.executable, "-m", "solcx.install", version]
    environment = {**os.environ, "SOLCX_BINARY_PATH": str(folder)}
    try:
        subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.SubprocessError:
        return None
    return folder / f"solc-v{version}"


def candidates(version: str, folder: Path) -> Iterator[tuple[str, Path | None]]:
    """Name each origin in order of preference; one is tried only when those before it fail."""
    yield "the one on PATH", installed()
    yield "py-solc-x's download", downloaded(version, folder)
    yield "the npm package", Path(__file__).with_name("solc-npm.js")


def answers(solc: Path, version: str) -> bool:
    """Tell whether the file runs here and is the wanted version."""
    try:
        return bool(get_solc_version(solc) == Version(version))
    except Exception:  # whatever is wrong with this one, the next may do
        return False


def main(target: Path) -> None:
    """Provide the compiler as a file called ``solc-v<version>``."""
    version = target.name.removeprefix("solc-v")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as folder:
        for origin, solc in candidates(version, Path(folder)):
            if solc is None or not answers(solc, version):
                continue
            print(f"Providing solc {version}: {origin}")
            target.unlink(missing_ok=True)
            if solc.parent == Path(folder):
                solc.replace(target)
            else:
                target.symlink_to(os.path.relpath(solc.resolve(), target.parent.resolve()))
            return
    sys.exit(f"No solc {version} to be had: install it, or check node_modules.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
