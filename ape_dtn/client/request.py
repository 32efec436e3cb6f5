"""A request that was sent: waited for, answered and billed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ape_dtn.answers.diagnosis import diagnose
from ape_dtn.answers.poller import TRANSIENT_ERRORS, Poller
from ape_dtn.answers.reading import Reader
from ape_dtn.network.context import Network
from ape_dtn.network.requests import Record, read_records
from ape_dtn.requests.draft import SentRequest
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Answer, Status
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.model import Api
from ape_dtn.types.transactions import Receipt


class DtnRequest:
    """A request that was sent. All that is known of it is on the chain, under its id.

    Use :meth:`load` for one that was sent earlier or elsewhere.
    """

    def __init__(
        self,
        ai: Network,
        request_id: bytes,
        receipt: Receipt | None = None,
        api: Api | None = None,
    ) -> None:
        self.ai = ai
        self._id = request_id
        self._reader = Reader(ai, request_id, api)
        self.receipt = receipt

    @classmethod
    def load(cls, request_id: str, ai: Network | None = None) -> DtnRequest:
        """A request by its id, from any process.

        Raises:
            InvalidName: It is no id.
            RequestNotFound: There is no such request.
        """
        request = cls(ai or Network(), id_of(request_id, "request"))
        request.record  # noqa: B018  # it raises where there is none
        return request

    @classmethod
    def load_many(
        cls, request_ids: Iterable[str], ai: Network | None = None
    ) -> list[tuple[DtnRequest, Record]]:
        """Many requests by their ids, each with its record, in one HTTP request a thousand.

        Raises:
            InvalidName: One is no id.
            RequestNotFound: There is no request of one of the ids.
        """
        ai = ai or Network()
        ids = [id_of(each, "request") for each in request_ids]
        return [
            (cls(ai, request_id), record)
            for request_id, record in zip(ids, read_records(ai, ids), strict=True)
        ]

    def __repr__(self) -> str:
        return f"<DtnRequest {self.id}>"

    @property
    def id(self) -> str:
        """The request's id, as ``0x…`` text."""
        return as_hex(self._id)

    @property
    def known_api(self) -> Api | None:
        """The API of the model that was asked, where it was read before."""
        return self._reader.api

    @known_api.setter
    def known_api(self, api: Api | None) -> None:
        self._reader.api = self._reader.api or api

    @property
    def record(self) -> Record:
        """All that the chain keeps of it now, in one RPC call.

        Raises:
            RequestNotFound: There is no such request.
        """
        (record,) = read_records(self.ai, [self._id])
        return record

    @property
    def status(self) -> Status:
        """What became of it, in one RPC call."""
        return self.record.status

    @property
    def session_id(self) -> int:
        """The session that pays for it."""
        return self.record.session_id

    def answer(self) -> Answer:
        """The answer, decoded by the model's API (``router.getRequest``).

        Over IPFS, its content is fetched from the configured gateways, and checked.

        Raises:
            RequestPending: There is none yet.
            NodeFailure: The node answered that it failed.
            UndecodableAnswer: The node sent something else than the API's output type.
            ContentUnavailable: No gateway gives its content; another time one may.
            WrongContent, ContentTooLarge, InvalidCid: Its content cannot be used.
        """
        return self._reader.answer(self.record)

    def wait(self, timeout: float = 120, confirmations: int | None = None) -> Answer:
        """Waits for the answer, however often the endpoint fails meanwhile.

        Args:
            timeout: For how many seconds. Over IPFS, fetching the content takes its own time.
            confirmations: How many blocks have to follow the answer's; by default as configured.

        Raises:
            RequestPending: It did not come in time. The request stays open.
            RequestStranded: It will never come: the session was closed before.
            NodeFailure: The node answered that it failed.
            NoNetwork: The endpoint did not answer when the time was over.
            DtnError: What :meth:`answer` raises else.
        """
        return _given(*wait_all([self], timeout, confirmations))

    async def wait_async(self, timeout: float = 120, confirmations: int | None = None) -> Answer:
        """As :meth:`wait`, for programs with an event loop."""
        return _given(*await wait_all_async([self], timeout, confirmations))

    def cost(self) -> Amount:
        """What the answer was charged, to the unit, from the chain's events.

        :meth:`ape_dtn.client.session.DtnSession.history` has the charges of all requests of a
        session, for as many HTTP requests as this takes for one.

        Raises:
            RequestPending: There is no answer yet.
        """
        if self.receipt:
            return self._reader.charged(self.receipt.block_number, None)
        return self._reader.charged(*self._reader.answered_in(self.record))


def _given(found: Answer | DtnError) -> Answer:
    if isinstance(found, DtnError):
        raise found
    return found


def wait_all(
    requests: Sequence[DtnRequest | DtnError],
    timeout: float = 120,
    confirmations: int | None = None,
) -> list[Answer | DtnError]:
    """Waits for the answers to many requests of one network, as one would for one.

    Args:
        requests: The requests, or what befell them already, as ``request_many`` returns them.
        timeout: For how many seconds. Over IPFS, fetching the contents takes its own time.
        confirmations: How many blocks have to follow an answer's; by default as configured.

    Returns:
        For each, in its place, the answer, or the error that befell it: what
        :meth:`ape_dtn.client.request.DtnRequest.wait` would raise.
    """
    if len(errors := _errors_among(requests)) == len(requests):
        return errors
    found: dict[str, Answer | DtnError] = {}
    failure: DtnError | None = None
    try:
        for delivery in _poll_all(requests, timeout, confirmations):
            found[as_hex(delivery.request_id)] = delivery.result
    except TRANSIENT_ERRORS as err:
        failure = err
    return _in_place(requests, found, failure, timeout)


async def wait_all_async(
    requests: Sequence[DtnRequest | DtnError],
    timeout: float = 120,
    confirmations: int | None = None,
) -> list[Answer | DtnError]:
    """As :func:`wait_all`, for programs with an event loop."""
    if len(errors := _errors_among(requests)) == len(requests):
        return errors
    found: dict[str, Answer | DtnError] = {}
    failure: DtnError | None = None
    try:
        async for delivery in _poll_all(requests, timeout, confirmations):
            found[as_hex(delivery.request_id)] = delivery.result
    except TRANSIENT_ERRORS as err:
        failure = err
    return await asyncio.to_thread(_in_place, requests, found, failure, timeout)


def _errors_among(requests: Sequence[DtnRequest | DtnError]) -> list[Answer | DtnError]:
    """What befell those that are not waited for."""
    return [each for each in requests if isinstance(each, DtnError)]


def _poll_all(
    requests: Sequence[DtnRequest | DtnError], timeout: float, confirmations: int | None
) -> Poller:
    waiting = [each for each in requests if isinstance(each, DtnRequest)]
    apis = {id_of(each.id, "request"): each.known_api for each in waiting}
    return Poller(waiting[0].ai, requests=apis, timeout=timeout, confirmations=confirmations)


def _in_place(
    requests: Sequence[DtnRequest | DtnError],
    found: dict[str, Answer | DtnError],
    failure: DtnError | None,
    waited: float,
) -> list[Answer | DtnError]:
    """What became of each, and of those without an outcome, why they have none."""
    left = [each for each in requests if isinstance(each, DtnRequest) and each.id not in found]
    why = [failure] * len(left) if failure else _diagnosed(left, waited)
    outcomes = {**found, **{each.id: error for each, error in zip(left, why, strict=True)}}
    return [each if isinstance(each, DtnError) else outcomes[each.id] for each in requests]


def _diagnosed(requests: Sequence[DtnRequest], waited: float) -> list[DtnError]:
    ids = [id_of(each.id, "request") for each in requests]
    return diagnose(requests[0].ai, ids, waited) if ids else []


def to_request(ai: Network, sent: SentRequest) -> DtnRequest:
    """The request that was sent."""
    return DtnRequest(ai, sent.request_id, sent.receipt, sent.api)
