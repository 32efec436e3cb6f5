"""Runs slither on ``contracts/`` and fails on findings that are not accepted with a reason.

``python -m audit.static`` analyses all contracts, ``python -m audit.static FILE…`` other files,
which may import them. make installs slither in an environment of its own.
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
    """Output of a compiler that has run, without code, which no detector of slither uses."""

    def __init__(self, output: Any) -> None:
        super().__init__({})
        for contracts in output["contracts"].values():
            for contract in contracts.values():
                contract["evm"] = {"bytecode": NO_CODE, "deployedBytecode": NO_CODE}
        self._output = output

    def compile(self, crytic_compile: CryticCompile, **_: Any) -> None:
        """Passes the output on."""
        unit = CompilationUnit(crytic_compile, "contracts")
        unit.compiler_version = CompilerVersion("solc", sources.SOLC_VERSION, optimized=True)
        parse_standard_json_output(self._output, unit)


class Finding(NamedTuple):
    """A finding of slither."""

    check: str
    where: str
    impact: str
    description: str


def detectors() -> list[type[AbstractDetector]]:
    """Returns all detectors of slither."""
    known = vars(all_detectors).values()
    return [
        detector
        for detector in known
        if isinstance(detector, type) and issubclass(detector, AbstractDetector)
    ]


def slither_of(texts: dict[str, str]) -> Slither:
    """Returns slither's analysis of sources."""
    compiled = CryticCompile(Compiled(sources.compiled(texts)))
    return Slither(compiled, filter_paths=["node_modules"], disable_color=True)


def findings(texts: dict[str, str]) -> list[Finding]:
    """Returns the findings in sources, without those in imported libraries."""
    slither = slither_of(texts)
    for detector in detectors():
        slither.register_detector(detector)
    found = [result for results in slither.run_detectors() for result in results or ()]
    return sorted(
        Finding(result["check"], _where(result), result["impact"], result["description"])
        for result in found
    )


def _where(found: dict[str, Any]) -> str:
    """Returns the file and the function or contract of a finding: ``contracts/A.sol:A.f``."""
    element = found["elements"][0]
    while element["type"] not in ("contract", "function", "pragma"):
        element = element["type_specific_fields"]["parent"]
    name = element["name"]
    if element["type"] == "function":
        name = f"{element['type_specific_fields']['parent']['name']}.{name}"
    return f"{element['source_mapping']['filename_relative']}:{name}"


def main(paths: list[str]) -> None:
    """Prints the findings that are not accepted, and the accepted ones that are gone."""
    logging.disable()  # slither logs all findings, also accepted ones
    texts = {path: Path(path).read_text() for path in paths} or sources.contracts()
    found = findings(texts)
    open_ = [
        f for f in found if not any(accepted.covers(f.check, f.where) for accepted in ACCEPTED)
    ]
    for finding in open_:
        print(f"{finding.impact}: {finding.check} at {finding.where}\n{finding.description}")
    if not paths:
        idle = [a for a in ACCEPTED if not any(a.covers(f.check, f.where) for f in found)]
        for accepted in idle:
            print(f"Accepted in audit/accepted.py, but no longer found: {accepted[:2]}")
        if idle:
            sys.exit(1)
    print(
        f"slither: {len(detectors())} checks of {len(texts)} files, {len(found)} findings, "
        f"of which {len(found) - len(open_)} are accepted."
    )
    sys.exit(1 if open_ else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
