"""A request that was sent: waited for, answered and billed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ape_dtn.answers import callbacks, diagnosis, poller, reading
from ape_dtn.answers.errors import NodeFailure
from ape_dtn.chain import reads
from ape_dtn.client.ai import DtnAi
from ape_dtn.client.watch import Watch
from ape_dtn.journal.executor import OperationResult
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.charges import charged_responses
from ape_dtn.network.errors import RequestPending
from ape_dtn.network.registry import model_calls, to_model
from ape_dtn.network.requests import Record, read_records
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Answer, CallType, Status
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
        ai: DtnAi,
        request_id: bytes,
        receipt: Receipt | None = None,
        api: Api | None = None,
    ) -> None:
        self.ai = ai
        self._id = request_id
        self._api = api
        self.receipt = receipt

    @classmethod
    def load(cls, request_id: str, ai: DtnAi | None = None) -> DtnRequest:
        """A request by its id, from any process.

        Raises:
            InvalidName: It is no id.
            RequestNotFound: There is no such request.
        """
        request = cls(ai or DtnAi(), id_of(request_id, "request"))
        request.record  # noqa: B018  # it raises where there is none
        return request

    @classmethod
    def load_many(
        cls, request_ids: Iterable[str], ai: DtnAi | None = None
    ) -> list[tuple[DtnRequest, Record]]:
        """Many requests by their ids, each with its record, in one HTTP request a thousand.

        Raises:
            InvalidName: One is no id.
            RequestNotFound: There is no request of one of the ids.
        """
        ai = ai or DtnAi()
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
        return self.answer_in(self.record)

    def answer_in(self, record: Record, block: int | None = None) -> Answer:
        """The answer that a record of the request holds; see :meth:`answer`.

        Args:
            record: What the chain keeps of the request.
            block: The block that holds the answer, where that is known.
        """
        if record.status is Status.PENDING:
            raise RequestPending(self.id)
        callback_error = callbacks.failure(self.ai, self._id, record, block)
        if record.status is Status.FAILURE:
            raise NodeFailure(self.id, record.message, callback_error)
        api = self.api_of(record)
        cid = None
        if record.call_type is CallType.DIRECT:
            value = api.decode(record.response, self.id)
        else:
            cid = reading.CID_API.decode(record.response, self.id)
            value = api.decode_content(self._content(cid), self.id)
        return Answer(
            request_id=self.id,
            value=value,
            data=record.response,
            node=as_hex(record.node),
            call_type=record.call_type,
            cid=cid,
            callback_error=callback_error,
        )

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
        session,
        for as many HTTP requests as this takes for one.

        Raises:
            RequestPending: There is no answer yet.
        """
        first, last = (self.receipt.block_number, None) if self.receipt else self._answered_in()
        completed = reads.logs(
            self.ai.provider,
            self.ai.router,
            [Router.request_completed.topic, self.id],
            first,
            last,
        )
        if not completed:
            raise RequestPending(self.id)
        left = reads.transaction_logs(self.ai.provider, completed[-1].transaction)
        charges = (
            SessionManager.session_charged.decode(answered.charge)["amount"]
            for answered in charged_responses(left, self.ai.router)
            if answered.request_id == self._id and answered.charge
        )
        return self.ai.token().units(next(charges, 0))

    def _answered_in(self) -> tuple[int, int]:
        """The blocks that its answer can be in, by its time: endpoints refuse to search all."""
        record = self.record
        if record.status is Status.PENDING:
            raise RequestPending(self.id)
        return callbacks.blocks_of(self.ai, record.answered_at)

    def _content(self, cid: str) -> bytes:
        from ape_dtn.ipfs import fetching

        config = self.ai.config
        return fetching.fetch(
            cid,
            [*self.ai.deployment.gateways, *config.ipfs_gateways],
            limit=config.ipfs_limit,
            timeout=config.ipfs_timeout,
        )

    def api_of(self, record: Record) -> Api:
        """The API of the model that was asked, which is read once."""
        if self._api is None:
            manager = self.ai.contracts().model_manager
            answers = reads.read(self.ai.provider, *model_calls(manager, record.model_id))
            model = to_model(self.ai, as_hex(record.model_id), *answers)
            assert model is not None, "the router lets no request name a model that is not there"
            self._api = model.api
        return self._api


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
        for outcome in _watch_all(requests, timeout, confirmations):
            found[outcome.request.id] = outcome.result
    except poller.PASSING_ERRORS as err:
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
        async for outcome in _watch_all(requests, timeout, confirmations):
            found[outcome.request.id] = outcome.result
    except poller.PASSING_ERRORS as err:
        failure = err
    return await asyncio.to_thread(_in_place, requests, found, failure, timeout)


def _errors_among(requests: Sequence[DtnRequest | DtnError]) -> list[Answer | DtnError]:
    """What befell those that are not waited for."""
    return [each for each in requests if isinstance(each, DtnError)]


def _watch_all(
    requests: Sequence[DtnRequest | DtnError], timeout: float, confirmations: int | None
) -> Watch:
    waiting = [each for each in requests if isinstance(each, DtnRequest)]
    return Watch(waiting[0].ai, requests=waiting, timeout=timeout, confirmations=confirmations)


def _in_place(
    requests: Sequence[DtnRequest | DtnError],
    found: dict[str, Answer | DtnError],
    failure: DtnError | None,
    waited: float,
) -> list[Answer | DtnError]:
    """What became of each, and of those without an outcome, why they have none."""
    left = [each for each in requests if isinstance(each, DtnRequest) and each.id not in found]
    why = [failure] * len(left) if failure else diagnosis.diagnose(left, waited)
    outcomes = {**found, **{each.id: error for each, error in zip(left, why, strict=True)}}
    return [each if isinstance(each, DtnError) else outcomes[each.id] for each in requests]


def to_request(ai: DtnAi, done: OperationResult, api: Api | None = None) -> DtnRequest:
    """The request that came of what was done."""
    return DtnRequest(ai, id_of(done.outcome["request"], "request"), done.receipt, api)
