"""Reverts as any contract makes them: a reason, a panic, or data that nobody here can read."""

from __future__ import annotations

from collections.abc import Mapping

from eth_abi.exceptions import DecodingError

from ape_dtn.chain.errors import ContractReverted, RpcRefused
from ape_dtn.types.abi import Error
from ape_dtn.types.errors import DtnError
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import Failure
from ape_dtn.types.translate import Translate

REASON = Error("Error(string reason)")
PANIC = Error("Panic(uint256 code)")

BUILT_IN: Mapping[bytes, Error] = {error.selector: error for error in (REASON, PANIC)}


def decode(
    data: bytes,
    message: str = "",
    transaction: str | None = None,
    known: Mapping[bytes, Error] = BUILT_IN,
) -> Revert:
    """Names what a contract reverted with, as far as it is known.

    Args:
        data: What it reverted with, selector first.
        message: What the chain's endpoint said besides.
        transaction: The transaction that failed, if it was mined.
        known: The errors that are known, by their selectors.
    """
    error = known.get(data[:4])
    if error is not None:
        try:
            return Revert(error.name, error.decode(data[4:]), data, message, transaction)
        except (DecodingError, ValueError):  # another error that happens to share the selector
            pass
    return Revert("", {}, data, message, transaction)


def untranslated(data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
    """The error of a contract that nothing is known of."""
    revert = decode(data, message, transaction)
    error = ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: Failure, translate: Translate) -> DtnError:
    """The error of a call or an estimate that failed: a contract's, or the endpoint's own."""
    if failure.data is None:
        return RpcRefused(failure.method, failure.message)
    return translate(failure.data, failure.message)
