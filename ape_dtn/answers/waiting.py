"""Waits for the answers to requests, and says why those without an answer have none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from ape_dtn.answers.diagnosis import diagnose
from ape_dtn.answers.poller import TRANSIENT_ERRORS, Poller, PollTarget

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.types.answer import Answer
    from ape_dtn.types.errors import DtnError
    from ape_dtn.types.model import Api

# The ids of requests, each with the API of its model where that is known.
Requests: TypeAlias = "Mapping[bytes, Api | None]"
# The answer to each, or the error in its place.
Outcomes: TypeAlias = "dict[bytes, Answer | DtnError]"


def wait_for(
    ai: Network, requests: Requests, timeout: float, confirmations: int | None = None
) -> Outcomes:
    """Wait for the answers to requests of one network.

    Args:
        ai: The network.
        requests: The requests.
        timeout: In seconds. Fetching answers from IPFS takes longer.
        confirmations: Blocks that must follow the block of an answer; by default as configured.
    """
    outcomes: Outcomes = {}
    failure: DtnError | None = None
    try:
        for delivery in _poll(ai, requests, timeout, confirmations):
            outcomes[delivery.request_id] = delivery.result
    except TRANSIENT_ERRORS as err:
        failure = err
    return _complete(ai, requests, outcomes, failure, timeout)


async def wait_for_async(
    ai: Network, requests: Requests, timeout: float, confirmations: int | None = None
) -> Outcomes:
    """As :func:`wait_for`, without blocking the event loop."""
    outcomes: Outcomes = {}
    failure: DtnError | None = None
    try:
        async for delivery in _poll(ai, requests, timeout, confirmations):
            outcomes[delivery.request_id] = delivery.result
    except TRANSIENT_ERRORS as err:
        failure = err
    return await asyncio.to_thread(_complete, ai, requests, outcomes, failure, timeout)


def _poll(ai: Network, requests: Requests, timeout: float, confirmations: int | None) -> Poller:
    target = PollTarget(requests=requests)
    return Poller(ai, target, timeout=timeout, confirmations=confirmations)


def _complete(
    ai: Network,
    requests: Requests,
    outcomes: Outcomes,
    failure: DtnError | None,
    waited: float,
) -> Outcomes:
    """Adds the errors of requests without an outcome: the failure, or their diagnosis."""
    missing = [request_id for request_id in requests if request_id not in outcomes]
    if failure is not None:
        return {**outcomes, **dict.fromkeys(missing, failure)}
    errors = diagnose(ai, missing, waited) if missing else []
    return {**outcomes, **dict(zip(missing, errors, strict=True))}
