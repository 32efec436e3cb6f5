"""What is claimed of the shipped contracts in ``proofs/`` is proved, and what is mistaken refuted.

Halmos takes all that a claim is about as unknowns of 256 bits, and looks for any for which it does
not hold. Here it has time for some claims; ``make proofs`` takes them all.
"""

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
    """The contracts in a source that are not abstract."""
    return set(re.findall(r"^contract (\w+)", source.read_text(), re.MULTILINE))


def test_what_is_claimed_is_proved_and_what_is_mistaken_is_not(prove: Any, outcomes: Any) -> None:
    assert {outcome.contract for outcome in outcomes} == set(SHORT.strip("^()$").split("|"))
    assert prove.failures(outcomes) == []


def test_whoever_claims_has_a_mistaken_double() -> None:
    mistaken = PROOFS / "Mistaken.sol"
    doubled = set(re.findall(r"^contract Mistaken\w+ is (\w+)", mistaken.read_text(), re.MULTILINE))
    claiming = set().union(
        *(contracts(source) for source in PROOFS.glob("*.sol") if source != mistaken)
    )

    # What is claimed of both variants is the same.
    variant = re.compile("^(Live|Reference)")
    assert {variant.sub("", name) for name in claiming} == {
        variant.sub("", name) for name in doubled
    }
