"""A request that was sent: waited for, answered and billed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ape_dtn.ai import DtnAi, model_calls, to_model
from ape_dtn.amount import Amount
from ape_dtn.chain import reads, reverts, sends
from ape_dtn.chain.abi import Log, Router, SessionManager
from ape_dtn.chain.reads import Call
from ape_dtn.errors import NodeFailure, RequestNotFound, RequestPending
from ape_dtn.model import Api
from ape_dtn.names import as_hex, id_of

# Over IPFS, whatever the model's API gives, what comes is the identifier of the content.
CID_API = Api("cid", "-> string", "The identifier of the content.")


class CallType(IntEnum):
    """How the answer travels (``IDtnAi.CallType``)."""

    IPFS = 0
    DIRECT = 1


class Status(IntEnum):
    """What became of a request (``IDtnAi.ResponseStatus``)."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2


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
        request._chain_record()
        return request

    def __repr__(self) -> str:
        return f"<DtnRequest {self.id}>"

    @property
    def id(self) -> str:
        """The request's id, as ``0x…`` text."""
        return as_hex(self._id)

    @property
    def status(self) -> Status:
        """What became of it, in one RPC call."""
        record = self._chain_record()
        if not record[2]:
            return Status.PENDING
        # A node can answer with any status: the router takes all but a success for a failure.
        return Status.SUCCESS if record[9][0] == Status.SUCCESS else Status.FAILURE

    @property
    def session_id(self) -> int:
        """The session that pays for it."""
        return int(self._chain_record()[0])

    def answer(self) -> Answer:
        """The answer, decoded by the model's API (``router.fetchResponse``).

        Raises:
            RequestPending: There is none yet.
            NodeFailure: The node answered that it failed.
            UndecodableAnswer: The node sent something else than the API's output type.
        """
        return self._answer(self._fetch())

    def wait(self, timeout: float = 120, poll: float | None = None) -> Answer:
        """Waits for the answer, asking once a poll.

        Args:
            timeout: For how many seconds.
            poll: How many seconds between questions; by default, as the chain's blocks come.

        Raises:
            RequestPending: It did not come in time. The request stays open.
            NodeFailure: The node answered that it failed.
        """
        pause = poll or max(self.ai.provider.network.block_time / 2, 0.1)
        start = time.monotonic()
        while True:
            try:
                return self._answer(self._fetch())
            except RequestPending as err:
                left = timeout - (time.monotonic() - start)
                if left <= 0:
                    raise RequestPending(self.id, waited=timeout) from err
                time.sleep(min(pause, left))

    def cost(self) -> Amount:
        """What the answer was charged, to the unit, from the chain's events.

        Raises:
            RequestPending: There is no answer yet.
        """
        first = self.receipt.block_number if self.receipt else self.ai.deployment.first_block
        completed = reads.logs(
            self.ai.provider,
            self.ai.router,
            [Router.request_completed.topic, self.id],
            from_block=first,
        )
        if not completed:
            raise RequestPending(self.id)
        left = reads.transaction_logs(self.ai.provider, completed[-1].transaction)
        return self.ai.token().units(_charge(left, self._id, self.ai.router))

    def _fetch(self) -> tuple[int, str, bytes]:
        call = Call(self.ai.router, Router.fetch_response, (self._id,), contract="router")
        about = reverts.About(request_id=self.id)
        response: tuple[int, str, bytes] = reads.read_one(self.ai.provider, call, about)
        return response

    def _answer(self, response: tuple[int, str, bytes]) -> Answer:
        status, message, data = response
        if status != Status.SUCCESS:
            raise NodeFailure(self.id, message)
        record = self._chain_record()
        is_direct = record[5][2] == CallType.DIRECT
        api = self._api_of(record[3]) if is_direct else CID_API
        value = api.decode(data, self.id)
        return Answer(self.id, value, data, as_hex(record[9][3]), CallType(record[5][2]))

    def _api_of(self, model_id: bytes) -> Api:
        if self._api is None:
            manager = self.ai.contracts().model_manager
            calls = model_calls(manager, model_id)
            model = to_model(as_hex(model_id), *reads.read(self.ai.provider, *calls))
            assert model is not None, "the router lets no request name a model that is not there"
            self._api = model.api
        return self._api

    def _chain_record(self) -> tuple[Any, ...]:
        """``router.getRequest``, in the field order of ``IRouter.Request``."""
        call = Call(self.ai.router, Router.get_request, (self._id,), contract="router")
        record: tuple[Any, ...] = reads.read_one(self.ai.provider, call)
        if not any(record[3]):  # no request is without a model
            raise RequestNotFound(self.id)
        return record


@dataclass(frozen=True)
class Answer:
    """A node's answer.

    Attributes:
        request_id: The request that it answers.
        value: The answer, decoded by the model's API: text for text models.
        data: The answer as it came, ABI-encoded.
        node: Id of the node that answered.
        call_type: How it travelled. Over IPFS, ``value`` is the content identifier.
    """

    request_id: str
    value: Any
    data: bytes
    node: str
    call_type: CallType

    @property
    def text(self) -> str:
        """The answer as text; bytes as ``0x…``."""
        return as_hex(self.value) if isinstance(self.value, bytes) else str(self.value)

    def __str__(self) -> str:
        return self.text

    def __bytes__(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else self.text.encode()


def _charge(logs: Sequence[Log], request_id: bytes, router: str) -> int:
    """What a request was charged, of all that a transaction left.

    A transaction may answer several requests: each one's charge stands before its response.
    """
    charge = 0
    for log in logs:
        if SessionManager.session_charged.matches(log):
            charge = SessionManager.session_charged.decode(log)["amount"]
        elif Router.response_received.matches(log, router):
            if Router.response_received.decode(log)["requestId"] == request_id:
                return charge
            charge = 0
    return charge
