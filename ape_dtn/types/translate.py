"""What turns reverts into errors: handed to the chain by whoever knows the contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ape_dtn.types.errors import DtnError


class Translate(Protocol):
    """Turns what a contract reverted with into the error that users catch."""

    def __call__(self, data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
        """The error, with the revert in its ``revert``.

        Args:
            data: What the contract reverted with, selector first.
            message: What the chain's endpoint said besides.
            transaction: The transaction that failed, if it was mined.
        """
