"""A plain node: reads what is asked, answers it, is paid.

It answers the requests that trust it and name a model that it serves, one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ape_dtn.ai import DtnAi, model_calls, to_model
from ape_dtn.chain import reads, sends
from ape_dtn.chain.abi import NodeManager, Router
from ape_dtn.chain.reads import Call
from ape_dtn.errors import DtnError, NoNetwork
from ape_dtn.names import as_hex, id_of
from ape_dtn.prompt import fill_in
from ape_dtn.request import CallType, Status

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.model import Api

# What the deployed node software says of a call that does not fit the model's API.
NOT_PARSABLE = "P0011: Call not parsable"

# Gets the decoded inputs of a call and returns what the API's output type wants.
Backend = Callable[..., Any]


def echo(lines: Sequence[str]) -> str:
    """The backend of local networks: it answers with what it was asked."""
    return f"You asked: {' '.join(lines)}"


class DtnNode:
    """A node that answers from its worker's account.

    Args:
        ai: The network.
        name: The node's full name.
        worker: The account that the node was registered with.
        backend: What gives the answers.
    """

    def __init__(self, ai: DtnAi, name: str, worker: AccountAPI, backend: Backend = echo) -> None:
        self.ai = ai
        self.name = name
        self.id = id_of(name, "node")
        self.worker = worker
        self.backend = backend
        self._seen = 0

    def answer_pending(self) -> list[str]:
        """Answers what has been asked since the last time.

        Returns:
            Ids of the requests that were answered.
        """
        provider = self.ai.provider
        length = Call(self.ai.router, Router.get_pending_requests_length)
        total = reads.read_one(provider, length)
        if total == self._seen:
            return []
        if total < self._seen:  # the chain was set back
            self.forget()
        page = Call(self.ai.router, Router.get_pending_requests, (self._seen, total))
        ids = list(dict.fromkeys(reads.read_one(provider, page)))
        records = reads.read(
            provider, *(Call(self.ai.router, Router.get_request, (each,)) for each in ids)
        )
        served = self._served()
        answered = []
        for request_id, record in zip(ids, records, strict=True):
            completed, model_id, (_, trusted, *_) = record[2], record[3], record[4]
            if not completed and self.id in trusted and model_id in served:
                try:
                    self._respond(request_id, served[model_id], record[5], record[7])
                except NoNetwork:
                    raise
                except DtnError as err:  # such as a session that was closed meanwhile
                    self._tell(f"request {as_hex(request_id)}: {err}")
                    continue
                answered.append(as_hex(request_id))
        self._seen = total
        return answered

    def forget(self) -> None:
        """Looks at all requests again the next time; the chain itself says which are answered."""
        self._seen = 0

    def serve(self, stop: Callable[[], bool] = lambda: False, poll: float = 0.25) -> None:
        """Answers what is asked until told to stop, or interrupted.

        Args:
            stop: Asked after each round.
            poll: Seconds between rounds.
        """
        told = ""
        while not stop():
            try:
                self.answer_pending()
                told = ""
            except DtnError as err:
                if err.message != told:  # once, however long it lasts
                    self._tell(err.message)
                told = err.message
            time.sleep(poll)

    def _tell(self, what: str) -> None:
        from ape.logging import logger

        logger.error(f"{self.name}: {what}")

    def _served(self) -> dict[bytes, Api]:
        contracts = self.ai.contracts()
        serves = Call(contracts.node_manager, NodeManager.get_node_models, (self.id,))
        ids = reads.read_one(self.ai.provider, serves)
        calls = [call for each in ids for call in model_calls(contracts.model_manager, each)]
        answers = iter(reads.read(self.ai.provider, *calls)) if calls else iter(())
        models = [to_model(as_hex(each), next(answers), next(answers)) for each in ids]
        return {model.id: model.api for model in models if model}

    def _respond(
        self, request_id: bytes, api: Api, asked: tuple[Any, ...], callback_gas: int
    ) -> None:
        call, extra, call_type, *_ = asked
        status, message, response = self._result(api, call, extra, call_type)
        transaction = sends.call(
            self.ai.router,
            Router.respond_to_request,
            request_id,
            status,
            message,
            response,
            self.id,
            len(call) + len(extra),
            len(response),
        )
        # An estimate can leave the callback too little: the response goes through all the same.
        # A call passes on 63 of 64 parts of the gas that is left.
        extra_gas = callback_gas * 64 // 63
        sends.send(self.ai.provider, self.worker, replace(transaction, extra_gas=extra_gas))

    def _result(
        self, api: Api, call: bytes, extra: bytes, call_type: int
    ) -> tuple[Status, str, bytes]:
        from eth_abi import decode, encode
        from eth_abi.exceptions import DecodingError

        if call_type != CallType.DIRECT:
            return Status.FAILURE, "This node stores nothing on IPFS", b""
        try:
            inputs = fill_in(decode(api.inputs, call), extra)
        except (DecodingError, DtnError, ValueError, OverflowError):
            return Status.FAILURE, NOT_PARSABLE, b""
        try:
            return Status.SUCCESS, "", encode([api.output], [self.backend(*inputs)])
        except Exception as err:  # whatever a backend does, the node goes on
            self._tell(f"the backend failed: {err!r}")
            return Status.FAILURE, "The backend failed", b""
