"""Answers as they come: waited for, and each given out once, however the endpoint fails."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from eth_utils import is_address, to_checksum_address

from ape_dtn.chain.errors import ChainUnreachable, RpcRefused
from ape_dtn.types.errors import InvalidAddress

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# Pauses between two looks at the chain, in seconds. Blocks of local chains come on demand.
LOOKS_PER_BLOCK = 2
SHORTEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_LOCALLY = 0.1, 3.0, 0.5
LONGEST_PAUSE_AFTER_FAILURE = 30.0

# How many seconds longer than it should the last look may take: endpoints can say nothing at all.
LAST_LOOK = 5.0

# How many answers are decoded together, of which each may have content to be fetched.
DECODED_TOGETHER = 8

# What another look may mend.
PASSING_ERRORS = (ChainUnreachable, RpcRefused)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_thread(work: Callable[[], _Result]) -> Future[_Result]:
    """Does it in a thread that nothing waits for when the program ends."""
    done: Future[_Result] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as err:
            done.set_exception(err)

    Thread(target=run, daemon=True).start()
    return done


def together(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """As ``map``, a few at a time."""
    results: list[_Result] = []
    for start in range(0, len(items), DECODED_TOGETHER):
        some = items[start : start + DECODED_TOGETHER]
        working = [in_thread(functools.partial(work, each)) for each in some]
        results += [each.result() for each in working]
    return results


def address_of(owner: AccountAPI | str) -> str:
    """The address of an account, or one that is given.

    Raises:
        InvalidAddress: It is none.
    """
    address = owner if isinstance(owner, str) else str(owner.address)
    if not is_address(address):
        raise InvalidAddress(address)
    return to_checksum_address(address)
