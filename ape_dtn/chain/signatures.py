"""Signatures in the form that contracts accept, and accounts that decline to sign."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.errors import SigningDeclined
from ape_dtn.types.errors import DtnError

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


def signature_parts(signed: Any) -> tuple[int, bytes, bytes]:
    """A signature as ``v, r, s``: hardware wallets give 0 and 1 for a v of 27 and 28."""
    r, s = (bytes(part).rjust(32, b"\0") for part in (signed.r, signed.s))
    v = int(signed.v)
    return v + 27 if v < 27 else v, r, s


@contextmanager
def declines(account: AccountAPI, what: str | None = None) -> Iterator[None]:
    """Turn whatever an account raises while it signs into :class:`SigningDeclined`.

    Devices raise errors of their own: the user declined, the device is locked, or it does not show
    what it would sign.

    Args:
        account: The signer.
        what: What is signed, for the error.
    """
    from click import Abort

    try:
        yield
    except DtnError:
        raise
    except Abort as err:  # Ape cannot prompt without a terminal
        raise SigningDeclined(str(account.address), what) from err
    except Exception as err:  # devices and wallet plugins raise errors of their own types
        reason = " ".join(str(err).split())[:200] or type(err).__name__
        raise SigningDeclined(str(account.address), what, reason) from err
