"""Proves some claims of ``proofs/``, and refutes false ones; ``make proofs`` checks all."""

from __future__ import annotations

import re
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="halmos needs Python 3.11")

PROOFS = Path(__file__).parents[2] / "proofs"
SHORT = "^(Client|LiveCharging|ReferenceFee|ReferenceLedger|MistakenClient|MistakenCharge)$"


@pytest.fixture(scope="module")
def prove() -> Any:
    spec = util.spec_from_file_location("prove", PROOFS / "prove.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outcomes(prove: Any) -> Any:
    return prove.outcomes(SHORT)


def contracts(source: Path) -> set[str]:
    """Names of the contracts in a source that are not abstract."""
    return set(re.findall(r"^contract (\w+)", source.read_text(), re.MULTILINE))


def test_claims_are_proved_and_false_ones_refuted(prove: Any, outcomes: Any) -> None:
    assert {outcome.contract for outcome in outcomes} == set(SHORT.strip("^()$").split("|"))
    assert prove.failures(outcomes) == []


def test_every_claim_has_a_false_counterpart() -> None:
    mistaken = PROOFS / "Mistaken.sol"
    doubled = set(re.findall(r"^contract Mistaken\w+ is (\w+)", mistaken.read_text(), re.MULTILINE))
    with_claims = set().union(
        *(contracts(source) for source in PROOFS.glob("*.sol") if source != mistaken)
    )

    # Both variants have the same claims.
    variant = re.compile("^(Live|Reference)")
    assert {variant.sub("", name) for name in with_claims} == {
        variant.sub("", name) for name in doubled
    }
