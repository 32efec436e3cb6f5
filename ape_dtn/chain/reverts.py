"""Reverts of any contract: a reason, a panic, or unknown data."""

from __future__ import annotations

from collections.abc import Mapping

from eth_abi.exceptions import DecodingError

from ape_dtn.chain.errors import ContractReverted, RpcRefused
from ape_dtn.types.abi import Error
from ape_dtn.types.errors import DtnError
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import Failure

REASON = Error("Error(string reason)")
PANIC = Error("Panic(uint256 code)")

BUILT_IN: Mapping[bytes, Error] = {error.selector: error for error in (REASON, PANIC)}


def decode(
    data: bytes,
    message: str = "",
    transaction: str | None = None,
    known: Mapping[bytes, Error] = BUILT_IN,
) -> Revert:
    """Decode revert data, as far as its error is known.

    Args:
        data: The revert data, selector first.
        message: The message of the endpoint.
        transaction: The transaction that failed, if it was mined.
        known: The known errors, by selector.
    """
    error = known.get(data[:4])
    if error is not None:
        try:
            return Revert(error.name, error.decode(data[4:]), data, message, transaction)
        except (DecodingError, ValueError):  # another error with the same selector
            pass
    return Revert("", {}, data, message, transaction)


def untranslated(data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
    """The error for a revert of an unknown contract."""
    revert = decode(data, message, transaction)
    error = ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: Failure, translate: Translate) -> DtnError:
    """The error for a failed call or estimate, of the contract or of the endpoint."""
    if failure.data is None:
        return RpcRefused.of(failure)
    return translate(failure.data, failure.message)
