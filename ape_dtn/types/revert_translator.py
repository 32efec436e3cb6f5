"""The interface by which callers of ``chain/`` translate reverts into errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ape_dtn.types.errors import DtnError


class Translate(Protocol):
    """Translates a revert into the error that users catch."""

    def __call__(self, data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
        """The error, with the revert in its ``revert``.

        Args:
            data: The revert data, with the selector.
            message: The endpoint's message.
            transaction: The transaction that failed, if it was mined.
        """
