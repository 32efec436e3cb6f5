"""Reads an answer from its record on the chain, and what was charged for it."""

from __future__ import annotations

from ape_dtn.answers import callbacks
from ape_dtn.answers.errors import NodeFailure
from ape_dtn.chain import reads
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.charges import charged_responses
from ape_dtn.network.context import Network
from ape_dtn.network.errors import RequestPending
from ape_dtn.network.registry import model_calls, to_model
from ape_dtn.network.requests import Record
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Answer, CallType, Status
from ape_dtn.types.ids import as_hex
from ape_dtn.types.model import Api

# An answer over IPFS is the identifier of its content, whatever the output type of the model.
CID_API = Api("cid", "-> string", "The identifier of the content.")


class Reader:
    """Reads the answer of one request, and the API of its model if that is not given."""

    def __init__(self, ai: Network, request_id: bytes, api: Api | None = None) -> None:
        self.ai, self.request_id, self.api = ai, request_id, api

    @property
    def id(self) -> str:
        """The request's id as ``0x…``."""
        return as_hex(self.request_id)

    def answer(self, record: Record, block: int | None = None) -> Answer:
        """Decodes the answer, and fetches its content if it is on IPFS.

        Raises:
            RequestPending: The request has no answer yet.
            NodeFailure: The node reported a failure.
            UndecodableAnswer: The answer is not of the model's output type.
            ContentUnavailable: No gateway served its content. A later attempt may succeed.
            WrongContent, ContentTooLarge, InvalidCid: Its content cannot be used.
        """
        if record.status is Status.PENDING:
            raise RequestPending(self.id)
        callback_error = callbacks.failure(self.ai, self.request_id, record, block)
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

    def charged(self, first: int, last: int | None) -> Amount:
        """What was charged for the answer, to the unit, from the events of a range of blocks.

        Raises:
            RequestPending: The range has no answer.
        """
        completed = reads.logs(
            self.ai.provider,
            self.ai.router,
            [Router.request_completed.topic, self.id],
            first,
            last,
        )
        if not completed:
            raise RequestPending(self.id)
        logs = reads.transaction_logs(self.ai.provider, completed[-1].transaction)
        charges = (
            SessionManager.session_charged.decode(response.charge)["amount"]
            for response in charged_responses(logs, self.ai.router)
            if response.request_id == self.request_id and response.charge
        )
        return self.ai.token().units(next(charges, 0))

    def answered_in(self, record: Record) -> tuple[int, int]:
        """The range of blocks that can have the answer, by the answer's time.

        Raises:
            RequestPending: The request has no answer yet.
        """
        if record.status is Status.PENDING:
            raise RequestPending(self.id)
        return callbacks.blocks_at(self.ai, record.answered_at)

    def api_of(self, record: Record) -> Api:
        """The API of the request's model."""
        if self.api is None:
            manager = self.ai.contracts().model_manager
            answers = self.ai.read(*model_calls(manager, record.model_id))
            model = to_model(as_hex(record.model_id), *answers)
            assert model is not None, "the router rejects requests to unregistered models"
            self.api = model.api
        return self.api

    def _content(self, cid: str) -> bytes:
        from ape_dtn.ipfs import fetching

        config = self.ai.config
        return fetching.fetch(
            cid,
            [*self.ai.deployment.gateways, *config.ipfs_gateways],
            limit=config.ipfs_limit,
            timeout=config.ipfs_timeout,
        )
