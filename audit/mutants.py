"""Mutation tests of the contracts.

``python -m audit.mutants`` mutates all targets; with names of contracts, only those.

The mutants are those of slither-mutate. Each is compiled, replaces the shipped artifact in a copy
of the checkout, and has to be killed by the invariant tests or the tests of the contracts. Mutants
that compile to the same code, or not at all, are not counted. The results are in ``mutants.json``;
reasons for survivors, which are written by hand, are kept.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from slither import Slither
from slither.tools.mutator.mutators import all_mutators
from slither.tools.mutator.mutators.abstract_mutator import AbstractMutator

from audit import sources
from audit.static import slither_of

REPORT = sources.ROOT / "audit" / "mutants.json"
COPY = sources.ROOT / ".tools" / "mutants"
COPIED = ("ape_dtn", "contracts", "invariants", "tests", ".build", ".tools/forge")
COPIED += ("pyproject.toml", "ape-config.yaml", "package.json", "setup.py")
# Reverts in place of a line, which a test that only comes by notices; other visibilities and other
# widths of integers, which make other contracts rather than wrong ones.
LEFT_OUT = ("RR", "FHR", "SBR")
AT_ONCE = 20  # are compiled
MOST = 40  # of a target, drawn by lot, always the same
# The shortest game that notices much, and no search for a shorter one.
QUICK = {"FOUNDRY_INVARIANT_RUNS": "15", "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0"}
# Whatever runs longer than this does not come to an end, which is noticed.
SECONDS = 600


class Target(NamedTuple):
    """A contract to mutate, and the tests that must notice."""

    contract: str
    file: str
    shipped: tuple[str, ...]  # the artifacts that are made of it, as file:contract
    game: str  # the invariants' contract
    tests: tuple[str, ...]  # pytest's arguments
    functions: str = ".*"


class Mutant(NamedTuple):
    """One mutation."""

    operator: str
    line: int
    was: str
    becomes: str
    text: str  # of the whole source

    @property
    def name(self) -> str:
        """Identifies the mutant when other lines of the file have changed."""
        return f"{self.operator}: {_short(self.was)} → {_short(self.becomes)}"


LIVE = "contracts/network/live"
LIVE_TESTS = (
    "tests/contracts/test_live.py",
    "tests/contracts/test_network.py",
    "tests/contracts/test_survivors.py",
    "-k=not [reference and not -reference",
)
REFERENCE = "contracts/network/reference"
REFERENCE_ROUTER = (f"{REFERENCE}/ReferenceRouter.sol:ReferenceRouter",)
REFERENCE_TESTS = (
    "tests/contracts/test_reference.py",
    "tests/contracts/test_network.py",
    "tests/contracts/test_survivors.py",
    "tests/contracts/test_hostile_pages.py",
    "tests/contracts/test_hostile_callbacks.py",
    "-k=not [live and not -live",
)
CLIENT = "contracts/client/DtnClient.sol:DtnClient"
DELEGATE = "contracts/client/DtnDelegate.sol:DtnDelegate"
CLIENT_TESTS = (
    "tests/contracts/test_client.py",
    "tests/contracts/test_client_asking.py",
    "tests/contracts/test_client_attacks.py",
    "tests/contracts/test_delegate.py",
    "-k=not pinned",  # what is changed has another address
)
TARGETS = (
    Target(
        "Sessions",
        f"{REFERENCE}/Sessions.sol",
        REFERENCE_ROUTER,
        "ReferenceMoney",
        REFERENCE_TESTS,
    ),
    Target(
        "ReferenceRouter",
        f"{REFERENCE}/ReferenceRouter.sol",
        REFERENCE_ROUTER,
        "ReferenceMoney",
        REFERENCE_TESTS,
        "request|respondToRequest|_placeOf|_callBack|_terms|_answer|_requestId",
    ),
    Target(
        "CodeStorage",
        f"{REFERENCE}/CodeStorage.sol",
        REFERENCE_ROUTER,
        "ReferenceMoney",
        REFERENCE_TESTS,
    ),
    Target(
        "LiveSessionManager",
        f"{LIVE}/LiveSessionManager.sol",
        (f"{LIVE}/LiveSessionManager.sol:LiveSessionManager",),
        "LiveMoney",
        LIVE_TESTS,
        "initialize|onlyRouter|startUserSession|closeUserSession|authorizeRequest|chargeUserSession",
    ),
    Target(
        "LiveRouter",
        f"{LIVE}/LiveRouter.sol",
        (f"{LIVE}/LiveRouter.sol:LiveRouter",),
        "LiveMoney",
        LIVE_TESTS,
        "request|respondToRequest|closeUserSession|_charge|_checkNode|_isTrusted|_callBack",
    ),
    Target(
        "AtomicSessions",
        "contracts/client/AtomicSessions.sol",
        (CLIENT, DELEGATE),
        "LiveMoney",
        CLIENT_TESTS,
    ),
    Target("DtnClient", "contracts/client/DtnClient.sol", (CLIENT,), "LiveMoney", CLIENT_TESTS),
    Target(
        "DtnDelegate",
        "contracts/client/DtnDelegate.sol",
        (DELEGATE,),
        "LiveMoney",
        CLIENT_TESTS,
    ),
)


def mutants(slither: Slither, target: Target) -> Iterator[Mutant]:
    """Yields the mutants of slither-mutate for the functions of a target."""
    (contract,) = slither.get_contract_from_name(target.contract)
    path = contract.source_mapping.filename.absolute
    text = slither.source_code[path].encode()
    chosen = re.compile(target.functions)
    seen = {text}
    for operator in _operators():
        mutator = operator(
            contract.compilation_unit, 0, "", "", contract, None, False, COPY, [], 100, 0
        )
        mutator.should_mutate_function = lambda function: chosen.fullmatch(function.name)
        try:
            patches = mutator._mutate().get("patches", {}).get(path, ())
        except (AttributeError, IndexError):  # what operators meet in code that they do not expect
            continue
        for patch in patches:
            was, becomes = patch["old_string"], patch["new_string"]
            changed = text[: patch["start"]] + becomes.encode() + text[patch["end"] :]
            if changed not in seen:
                seen.add(changed)
                line = patch["line_number"]
                yield Mutant(operator.NAME, line, was, becomes, changed.decode())


def _operators() -> list[type[AbstractMutator]]:
    known = [mutator for mutator in vars(all_mutators).values() if isinstance(mutator, type)]
    return [
        mutator
        for mutator in known
        if issubclass(mutator, AbstractMutator) and mutator.NAME not in LEFT_OUT
    ]


def codes(target: Target, texts: list[str]) -> list[dict[str, str] | None]:
    """Returns the creation code of each text of a target's source; None if it does not compile.

    All are compiled together: most of the time goes into their imports.
    """
    kept = dict(enumerate(texts))
    while kept:
        # Without the IR pipeline where the stack is deep enough for that: it takes half the time.
        for via_ir in (False, True):
            found = _compiled(target, kept, via_ir)
            if isinstance(found, set):
                break
            if found is not None:
                return [found.get(i) for i in range(len(texts))]
        assert found, f"{target.contract} does not compile"
        kept = {i: text for i, text in kept.items() if i not in found}
    return [None] * len(texts)


def _compiled(
    target: Target, texts: dict[int, str], via_ir: bool
) -> dict[int, dict[str, str]] | set[int] | None:
    """Creation codes; or the texts that do not compile; or None if these are unknown."""
    sources_: dict[str, str] = {}
    output: dict[str, Any] = {}
    for i, text in texts.items():
        for shipped in target.shipped:
            file, name = shipped.split(":")
            importing = (sources.ROOT / file).read_text()
            imported = f'/{Path(target.file).name}"'
            sources_[_nth(file, i)] = importing.replace(imported, _nth(imported, i))
            output.setdefault(_nth(file, i), {})[name] = ["evm.bytecode.object"]
        sources_[_nth(target.file, i)] = text
    plain = {"metadata": {"appendCBOR": False}}  # code that says nothing of its source
    try:
        contracts = sources.compiled(sources_, output, viaIR=via_ir, **plain)["contracts"]
    except ValueError as error:
        numbers = re.findall(r"--> \S+\.(\d+)\.sol", str(error))
        return None if "Stack too deep" in str(error) else {int(number) for number in numbers}
    return {
        i: {
            name: contracts[_nth(file, i)][name]["evm"]["bytecode"]["object"]
            for file, name in (shipped.split(":") for shipped in target.shipped)
        }
        for i in texts
    }


def _nth(file: str, number: int) -> str:
    return file.replace(".sol", f".{number}.sol")


def prepare() -> None:
    """Creates the copy of the checkout for mutated artifacts."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in COPIED:
        origin = sources.ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif origin.exists():
            shutil.copy(origin, COPY / name)
    for name in ("node_modules", ".tools/bin", ".tools/solcx"):
        (COPY / name).parent.mkdir(exist_ok=True)
        (COPY / name).symlink_to(sources.ROOT / name)
    (COPY / ".tools" / "tmp").mkdir(exist_ok=True)


def ship(codes: dict[str, str]) -> None:
    """Replaces creation code in the copy's artifacts."""
    for name, code_ in codes.items():
        path = COPY / "ape_dtn" / "artifacts" / f"{name}.json"
        artifact = json.loads(path.read_text())
        path.write_text(json.dumps({**artifact, "bytecode": f"0x{code_}"}))


def killer(target: Target) -> str | None:
    """Returns the test that notices the code in the copy's artifacts, or None."""
    forge = ["forge", "test", "--json", "--fuzz-seed", "1", "--match-contract", target.game]
    played = _run(forge, COPY / "invariants", FOUNDRY_PROFILE="short", **QUICK)
    if played is None:
        return "invariants: no end"
    if played.returncode:
        if '"status":"Failure"' not in played.stdout:  # which is no word on the change
            raise RuntimeError(played.stdout + played.stderr)
        return f"invariants: {target.game}"
    port = random.randrange(10000, 20000)
    pytest = [str(sources.ROOT / ".venv" / "bin" / "python"), "-m", "pytest"]
    tested = _run(
        [*pytest, "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *target.tests],
        COPY,
        APE_FOUNDRY_HOST=f"http://127.0.0.1:{port}",
    )
    if tested is None:
        return "tests: no end"
    if not tested.returncode:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", tested.stdout, re.MULTILINE)
    if failed is None:  # which is no word on the change
        raise RuntimeError(tested.stdout + tested.stderr)
    return failed.group(1)


def _run(
    command: list[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str] | None:
    """Runs a command in the copy; None on a timeout."""
    path = f"{sources.ROOT}/.tools/bin:{sources.ROOT}/.venv/bin:{os.environ['PATH']}"
    ours = {
        "PATH": path,
        "TMPDIR": str(COPY / ".tools" / "tmp"),
        "APE_DATA_FOLDER": str(COPY / ".tools" / "ape"),
        "SOLCX_BINARY_PATH": str(sources.ROOT / ".tools" / "solcx"),
    }
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **ours, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None


def run(slither: Slither, target: Target, words: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yields the report of a target after each mutant."""
    (original,) = codes(target, [(sources.ROOT / target.file).read_text()])
    assert original is not None
    ship(original)
    if noticed := killer(target):
        sys.exit(f"Without any change to {target.contract} there fails {noticed}.")
    drawn = list(mutants(slither, target))
    random.Random(target.contract).shuffle(drawn)
    killed: Counter[str] = Counter()
    survivors: list[dict[str, str]] = []
    for mutant, changed in islice(_different(target, drawn, original), MOST):
        ship(changed)
        began = time.monotonic()
        by = killer(target)
        took = time.monotonic() - began
        place = f"{target.contract}:{mutant.line} {mutant.name}"
        print(f"{'killed' if by else 'SURVIVED'} in {took:.0f} s: {place}, {by}", flush=True)
        if by:
            killed[by.partition("::")[0]] += 1
        else:
            survivors.append({"mutant": mutant.name, "why": words.get(mutant.name, "")})
        yield {
            "date": date.today().isoformat(),
            "changes there are": len(drawn),
            "tried": killed.total() + len(survivors),
            "killed": killed.total(),
            "killed by": dict(sorted(killed.items())),
            "survivors": survivors,
        }
    ship(original)


def _different(
    target: Target, drawn: list[Mutant], original: dict[str, str]
) -> Iterator[tuple[Mutant, dict[str, str]]]:
    """Yields the mutants that compile to different code."""
    known = {str(original)}
    for i in range(0, len(drawn), AT_ONCE):
        some = drawn[i : i + AT_ONCE]
        found = codes(target, [mutant.text for mutant in some])
        for mutant, changed in zip(some, found, strict=True):
            if changed is not None and str(changed) not in known:
                known.add(str(changed))
                yield mutant, changed


def _short(code_: str) -> str:
    return " ".join(code_.split())


def main(names: list[str]) -> None:
    """Mutates the targets and writes the report after each."""
    logging.disable()
    prepare()
    slither = slither_of(sources.contracts())
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for target in TARGETS:
        if names and target.contract not in names:
            continue
        before = report.get(target.contract, {}).get("survivors", ())
        words = {entry["mutant"]: entry["why"] for entry in before}
        for found in run(slither, target, words):
            report[target.contract] = found
            REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    for name, found in report.items():
        print(f"{name}: {found['killed']} of {found['tried']} killed")


if __name__ == "__main__":
    main(sys.argv[1:])
