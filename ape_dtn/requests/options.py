"""What a request can be given besides its inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from eth_utils import keccak

from ape_dtn.requests.routing import Aggregation
from ape_dtn.types.amount import AmountLike
from ape_dtn.types.answer import CallType
from ape_dtn.types.errors import InvalidOption
from ape_dtn.types.ids import to_address

_SIGNATURE = re.compile(r"[A-Za-z_$][\w$]*\([\w,()\[\]]*\)")


@dataclass(frozen=True)
class Callback:
    """What the router calls with the answer (``IDtnAi.CallBack``).

    Attributes:
        target: The contract; on the reference variant, neither the router nor the fee token.
        success: Signature of the function for a success, as in ``"onAnswer(bytes32)"``.
        failure: Signature of the function for a failure.
        gas: Gas that it may use. The request carries as many wei, which the router keeps.
    """

    target: str
    success: str
    failure: str
    gas: int

    def __post_init__(self) -> None:
        """Checks all of it, since nothing else would: the contracts take whatever comes.

        Raises:
            InvalidAddress: The target is no address.
            InvalidOption: A signature is none, or the gas is no number of gas.
        """
        to_address(self.target)
        for signature in (self.success, self.failure):
            if not _SIGNATURE.fullmatch(signature):
                raise InvalidOption("callback", f"'{signature}' is no name with types")
        if not 0 <= self.gas < 2**256:
            raise InvalidOption("callback", f"{self.gas} is no gas")

    def encode(self) -> tuple[bytes, bytes, str]:
        """The Solidity struct."""
        return keccak(text=self.success)[:4], keccak(text=self.failure)[:4], self.target


class Options(TypedDict, total=False):
    """What a request can be given besides its inputs.

    Attributes:
        model: Full name of the model; by default the configured one.
        inputs: Inputs by the names that the API's docs give them.
        nodes: Full names of the nodes that may answer; by default the configured ones.
        any_node: Trust all nodes that are active and serve the model. On a local network this is
            what is done where nobody is named.
        namespaces: Full names of trust namespaces whose nodes may answer.
        redundancy: How many answers are wanted. Only 1 completes.
        aggregation: How several become one. Only ``ANY`` completes.
        may_never_complete: Send it also where nobody could answer, or no answer could complete it.
            The reference variant refuses the latter all the same.
        fee_per_byte: What is offered for each byte, asked and answered, in the fee token.
        max_cost: The most that the answer may cost, in the fee token.
        request_limit: Refuse a request that may cost more than this, whatever it says itself.
        session_limit: Refuse a request with which its session could cost more than this in all.
        day_limit: Refuse a request with which all of this day (UTC) could cost more than this.
        account_limit: Refuse a request with which all of its account could cost more than this.
        call_type: How the answer travels; by default in the transaction itself.
        callback: What is called with the answer; by default nothing.
        user: On whose behalf it is asked. By default an address of the request's own, which begins
            as the signer's: the live network tells requests of one block apart by it alone.
    """

    model: str | None
    inputs: Mapping[str, Any] | None
    nodes: Sequence[str] | None
    any_node: bool
    namespaces: Sequence[str] | None
    redundancy: int
    aggregation: Aggregation
    may_never_complete: bool
    fee_per_byte: AmountLike | None
    max_cost: AmountLike | None
    request_limit: AmountLike | None
    session_limit: AmountLike | None
    day_limit: AmountLike | None
    account_limit: AmountLike | None
    call_type: CallType
    callback: Callback | None
    user: str | None


def check_options(options: Options) -> None:
    """Checks that all options exist, as a misspelled limit must not pass for none, and go together.

    Raises:
        TypeError: One does not exist.
        InvalidOption: One has no meaning, or not beside another.
    """
    redundancy = options.get("redundancy", 1)
    if not 0 <= redundancy < 2**32:
        raise InvalidOption("redundancy", f"{redundancy} is no number of answers")
    if options.get("any_node") and (options.get("nodes") or options.get("namespaces")):
        raise InvalidOption("any_node", "it would trust more than those that are named besides")
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"a request has no option {', '.join(map(repr, sorted(unknown)))}")
