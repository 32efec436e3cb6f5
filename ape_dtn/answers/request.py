"""A request that was sent: waited for, answered and billed."""

from __future__ import annotations

from collections.abc import Iterable

from ape_dtn.ai import DtnAi, model_calls, to_model
from ape_dtn.amount import Amount
from ape_dtn.answers import callbacks
from ape_dtn.answers.answer import Answer, CallType, Status
from ape_dtn.answers.record import Record, read_records
from ape_dtn.asking.model import Api
from ape_dtn.billing.history import answers_in
from ape_dtn.chain import reads, sends
from ape_dtn.chain.abi import Router, SessionManager
from ape_dtn.errors import DtnError, NodeFailure, RequestPending
from ape_dtn.names import as_hex, id_of

# Over IPFS, whatever the model's API gives, what comes is the identifier of the content.
CID_API = Api("cid", "-> string", "The identifier of the content.")


class DtnRequest:
    """A request that was sent. All that is known of it is on the chain, under its id.

    Use :meth:`load` for one that was sent earlier or elsewhere.
    """

    def __init__(
        self,
        ai: DtnAi,
        request_id: bytes,
        receipt: sends.Receipt | None = None,
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
            cid = CID_API.decode(record.response, self.id)
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
        from ape_dtn.answers.watch import wait_all

        return _given(*wait_all([self], timeout, confirmations))

    async def wait_async(self, timeout: float = 120, confirmations: int | None = None) -> Answer:
        """As :meth:`wait`, for programs with an event loop."""
        from ape_dtn.answers.watch import wait_all_async

        return _given(*await wait_all_async([self], timeout, confirmations))

    def cost(self) -> Amount:
        """What the answer was charged, to the unit, from the chain's events.

        :meth:`ape_dtn.session.DtnSession.history` has the charges of all requests of a session,
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
            for answered in answers_in(left, self.ai.router)
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
