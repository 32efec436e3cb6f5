"""Runs slither on ``contracts/``; fails on what it finds, unless it is accepted with a reason.

``python -m audit.static`` analyses all contracts, ``python -m audit.static FILE…`` others, which
may import them. It needs slither, which make installs apart from everything else.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

from crytic_compile import CryticCompile
from crytic_compile.compilation_unit import CompilationUnit
from crytic_compile.compiler.compiler import CompilerVersion
from crytic_compile.platform.solc_standard_json import SolcStandardJson, parse_standard_json_output
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector

from audit import sources
from audit.accepted import ACCEPTED

NO_CODE = {"object": "", "sourceMap": ""}


class Compiled(SolcStandardJson):  # type: ignore[misc]
    """A compile that was made already, and without code: no check of slither's looks at it."""

    def __init__(self, output: Any) -> None:
        super().__init__({})
        for contracts in output["contracts"].values():
            for contract in contracts.values():
                contract["evm"] = {"bytecode": NO_CODE, "deployedBytecode": NO_CODE}
        self._output = output

    def compile(self, crytic_compile: CryticCompile, **_: Any) -> None:
        """Hands the compile over."""
        unit = CompilationUnit(crytic_compile, "contracts")
        unit.compiler_version = CompilerVersion("solc", sources.SOLC_VERSION, optimized=True)
        parse_standard_json_output(self._output, unit)


class Finding(NamedTuple):
    """What slither has found."""

    check: str
    where: str
    impact: str
    description: str


def detectors() -> list[type[AbstractDetector]]:
    """All checks that slither has."""
    known = vars(all_detectors).values()
    return [each for each in known if isinstance(each, type) and issubclass(each, AbstractDetector)]


def slither_of(texts: dict[str, str]) -> Slither:
    """What slither makes of sources."""
    compiled = CryticCompile(Compiled(sources.compiled(texts)))
    return Slither(compiled, filter_paths=["node_modules"], disable_color=True)


def findings(texts: dict[str, str]) -> list[Finding]:
    """What slither finds in sources, but not in what they import from elsewhere."""
    slither = slither_of(texts)
    for detector in detectors():
        slither.register_detector(detector)
    found = [result for results in slither.run_detectors() for result in results or ()]
    return sorted(
        Finding(each["check"], _where(each), each["impact"], each["description"]) for each in found
    )


def _where(found: dict[str, Any]) -> str:
    """The file and the function, or what else it is about: ``contracts/A.sol:A.f``."""
    element = found["elements"][0]
    while element["type"] not in ("contract", "function", "pragma"):
        element = element["type_specific_fields"]["parent"]
    name = element["name"]
    if element["type"] == "function":
        name = f"{element['type_specific_fields']['parent']['name']}.{name}"
    return f"{element['source_mapping']['filename_relative']}:{name}"


def main(paths: list[str]) -> None:
    """Tells what is found and not accepted, and what is accepted and not found."""
    logging.disable()  # slither tells all it finds, what is accepted too
    texts = {path: Path(path).read_text() for path in paths} or sources.contracts()
    found = findings(texts)
    open_ = [f for f in found if not any(each.covers(f.check, f.where) for each in ACCEPTED)]
    for finding in open_:
        print(f"{finding.impact}: {finding.check} at {finding.where}\n{finding.description}")
    if not paths:
        idle = [a for a in ACCEPTED if not any(a.covers(f.check, f.where) for f in found)]
        for accepted in idle:
            print(f"Accepted in audit/accepted.py, but not there any more: {accepted[:2]}")
        if idle:
            sys.exit(1)
    print(
        f"slither: {len(detectors())} checks of {len(texts)} files, {len(found)} findings, "
        f"of which {len(found) - len(open_)} are accepted."
    )
    sys.exit(1 if open_ else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
