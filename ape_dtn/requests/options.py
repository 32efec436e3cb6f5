"""The options of requests, of new sessions and of quotes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from eth_utils import keccak

from ape_dtn.requests.routing import Aggregation
from ape_dtn.types.amount import AmountLike
from ape_dtn.types.answer import CallType
from ape_dtn.types.budgets import Limits
from ape_dtn.types.errors import InvalidOption
from ape_dtn.types.ids import to_address

if TYPE_CHECKING:
    from ape_dtn.funding.methods import Method


_SIGNATURE = re.compile(r"[A-Za-z_$][\w$]*\([\w,()\[\]]*\)")


@dataclass(frozen=True)
class Callback:
    """The contract that the router calls with the answer (``IDtnAi.CallBack``).

    Attributes:
        target: The contract's address. The reference variant refuses the router and the fee token.
        success: The signature of the function for an answer, as in ``"onAnswer(bytes32)"``.
        failure: The signature of the function for a failure of the node.
        gas: The gas that the call may use. The request carries as many wei, which the router keeps.
    """

    target: str
    success: str
    failure: str
    gas: int

    def __post_init__(self) -> None:
        """Check the values, which the contracts do not.

        Raises:
            InvalidAddress: The target is not an address.
            InvalidOption: A signature or the gas is invalid.
        """
        to_address(self.target)
        for signature in (self.success, self.failure):
            if not _SIGNATURE.fullmatch(signature):
                raise InvalidOption("callback", f"'{signature}' is not a function signature")
        if not 0 <= self.gas < 2**256:
            raise InvalidOption("callback", f"{self.gas} is not an amount of gas")

    def encode(self) -> tuple[bytes, bytes, str]:
        """The Solidity struct."""
        return keccak(text=self.success)[:4], keccak(text=self.failure)[:4], self.target


class Options(Limits, total=False):
    """The options of a request.

    Attributes:
        model: The full name of the model; by default the configured model.
        inputs: Inputs by the names in the API's docs.
        nodes: The full names of the nodes that may answer; by default the configured nodes.
        any_node: Let every active node answer that serves the model. The default on a local
            network where no node is named.
        namespaces: The full names of trust namespaces whose nodes may answer.
        redundancy: The number of answers wanted. Only 1 completes.
        aggregation: How several answers become one. Only ``ANY`` completes.
        may_never_complete: Send the request even where no node can answer it, or no answer can
            complete it. The reference variant refuses the latter.
        fee_per_byte: The fee offered for each byte of the request and of the answer.
        max_cost: The most that the answer may cost, in the fee token.
        call_type: How the answer travels; by default ``DIRECT``, in the node's transaction.
        callback: The contract that is called with the answer; by default none.
        user: The user that the request names. By default the signer's address with its last bytes
            randomised, because the live network tells requests of one block apart by it alone.
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
    call_type: CallType
    callback: Callback | None
    user: str | None


class NewSessionOptions(Options, total=False):
    """The options of a request for which a session is opened.

    Attributes:
        deposit: The deposit of the new session; by default the request's ``max_cost``.
        method: How to deposit; see :meth:`ape_dtn.client.session.DtnSession.start`.
        unsafe_two_step: See :meth:`ape_dtn.client.session.DtnSession.start`.
    """

    deposit: AmountLike | None
    method: Method | str | None
    unsafe_two_step: bool


class QuoteOptions(Options, total=False):
    """The options of a quote.

    Attributes:
        models: The full names of the models; by default ``model``, or the configured model.
        call_types: How the answer travels; by default ``call_type``, or both.
        answer_bytes: The size of the answer as it is billed; by default the median of the latest
            answers of the model by the same call type, or
            :data:`ape_dtn.requests.quote.DEFAULT_ANSWER_BYTES` where the chain has none. It has
            none over IPFS.
    """

    models: str | Sequence[str] | None
    call_types: CallType | Sequence[CallType] | None
    answer_bytes: int | None


def request_options(options: Options, kind: type[Options]) -> Options:
    """The options without those that ``kind`` adds to :class:`Options`."""
    added = kind.__annotations__.keys() - Options.__annotations__.keys()
    return cast(Options, {name: value for name, value in options.items() if name not in added})


def check_options(options: Options) -> None:
    """Check that all options exist, so that a misspelled limit is not ignored, and fit together.

    Raises:
        TypeError: An option does not exist.
        InvalidOption: An option is invalid, or conflicts with another.
    """
    redundancy = options.get("redundancy", 1)
    if not 0 <= redundancy < 2**32:
        raise InvalidOption("redundancy", f"{redundancy} is not a number of answers")
    if options.get("any_node") and (options.get("nodes") or options.get("namespaces")):
        raise InvalidOption("any_node", "it cannot be combined with nodes or namespaces")
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"a request has no option {', '.join(map(repr, sorted(unknown)))}")
