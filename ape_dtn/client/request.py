"""Requests as users hold them: waited for, answered and charged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ape_dtn.answers.reading import Reader
from ape_dtn.answers.waiting import wait_for, wait_for_async
from ape_dtn.network.context import Network
from ape_dtn.network.requests import Record, read_records
from ape_dtn.requests.sending import SentRequest
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Answer, Status
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.model import Api
from ape_dtn.types.transactions import Receipt


class DtnRequest:
    """A request that was sent. The chain has everything about it, under its id.

    Use :meth:`load` for a request that was sent earlier or elsewhere.
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
        """A request by its id.

        Raises:
            InvalidName: The id is not valid.
            RequestNotFound: There is no request of this id.
        """
        ((request, _),) = cls.load_many([request_id], ai)
        return request

    @classmethod
    def load_many(
        cls, request_ids: Iterable[str], ai: Network | None = None
    ) -> list[tuple[DtnRequest, Record]]:
        """Requests by their ids, each with its record, in one HTTP request per 999.

        Raises:
            InvalidName: An id is not valid.
            RequestNotFound: There is no request of an id.
        """
        ai = ai or Network()
        ids = [id_of(request_id, "request") for request_id in request_ids]
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
        """The API of its model; None before it was read."""
        return self._reader.api

    @known_api.setter
    def known_api(self, api: Api | None) -> None:
        self._reader.api = self._reader.api or api

    @property
    def record(self) -> Record:
        """Everything that the router keeps of it now, in one RPC call.

        Raises:
            RequestNotFound: There is no such request.
        """
        (record,) = read_records(self.ai, [self._id])
        return record

    @property
    def status(self) -> Status:
        """Whether it is pending, answered or failed, in one RPC call."""
        return self.record.status

    @property
    def session_id(self) -> int:
        """The id of the session that pays for it, in one RPC call."""
        return self.record.session_id

    def answer(self) -> Answer:
        """The answer, decoded by the model's API (``router.getRequest``).

        The content of an answer over IPFS is fetched from the configured gateways and verified.

        Raises:
            RequestPending: There is no answer yet.
            NodeFailure: The node answered with a failure.
            UndecodableAnswer: The answer does not have the API's output type.
            ContentUnavailable: No gateway has the content at present.
            WrongContent, ContentTooLarge, InvalidCid: The content cannot be used.
        """
        return self._reader.answer(self.record)

    def wait(self, timeout: float = 120, confirmations: int | None = None) -> Answer:
        """Wait for the answer. Errors of the endpoint are retried.

        Args:
            timeout: In seconds. Fetching an answer from IPFS takes longer.
            confirmations: Blocks that must follow the block of the answer; by default as
                configured.

        Raises:
            RequestPending: There is no answer in time. The request stays open.
            RequestStranded: The session was closed, and the answer will never come.
            NodeFailure: The node answered with a failure.
            NoNetwork: The endpoint still failed when the time was over.
            DtnError: As :meth:`answer` does.
        """
        (outcome,) = wait_all([self], timeout, confirmations)
        return _answer(outcome)

    async def wait_async(self, timeout: float = 120, confirmations: int | None = None) -> Answer:
        """As :meth:`wait`, without blocking the event loop."""
        (outcome,) = await wait_all_async([self], timeout, confirmations)
        return _answer(outcome)

    def cost(self) -> Amount:
        """The charge for the answer, exactly, from the chain's events.

        :meth:`ape_dtn.client.session.DtnSession.history` has the charges of all requests of a
        session for as many HTTP requests.

        Raises:
            RequestPending: There is no answer yet.
        """
        if self.receipt:
            return self._reader.charged(self.receipt.block_number, None)
        return self._reader.charged(*self._reader.answered_in(self.record))


def wait_all(
    requests: Sequence[DtnRequest | DtnError],
    timeout: float = 120,
    confirmations: int | None = None,
) -> list[Answer | DtnError]:
    """Wait for the answers to many requests of one network.

    Args:
        requests: The requests, or errors in their place, as ``request_many`` returns them.
        timeout: In seconds. Fetching answers from IPFS takes longer.
        confirmations: Blocks that must follow the block of an answer; by default as configured.

    Returns:
        The answers in the order of the requests, with the error that
        :meth:`ape_dtn.client.request.DtnRequest.wait` would raise in place of each missing one.
    """
    ai, apis = _to_wait_for(requests)
    outcomes = wait_for(ai, apis, timeout, confirmations) if ai else {}
    return _in_order(requests, outcomes)


async def wait_all_async(
    requests: Sequence[DtnRequest | DtnError],
    timeout: float = 120,
    confirmations: int | None = None,
) -> list[Answer | DtnError]:
    """As :func:`wait_all`, without blocking the event loop."""
    ai, apis = _to_wait_for(requests)
    outcomes = await wait_for_async(ai, apis, timeout, confirmations) if ai else {}
    return _in_order(requests, outcomes)


def _to_wait_for(
    requests: Sequence[DtnRequest | DtnError],
) -> tuple[Network | None, dict[bytes, Api | None]]:
    sent = [request for request in requests if isinstance(request, DtnRequest)]
    apis = {id_of(request.id, "request"): request.known_api for request in sent}
    return (sent[0].ai if sent else None), apis


def _in_order(
    requests: Sequence[DtnRequest | DtnError], outcomes: Mapping[bytes, Answer | DtnError]
) -> list[Answer | DtnError]:
    return [
        request if isinstance(request, DtnError) else outcomes[id_of(request.id, "request")]
        for request in requests
    ]


def _answer(outcome: Answer | DtnError) -> Answer:
    if isinstance(outcome, DtnError):
        raise outcome
    return outcome


def to_request(ai: Network, sent: SentRequest) -> DtnRequest:
    """A request that :mod:`ape_dtn.requests.sending` has sent."""
    return DtnRequest(ai, sent.request_id, sent.receipt, sent.api)
