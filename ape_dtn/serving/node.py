"""A plain node: reads what is asked, answers it, is paid.

It answers the requests that trust it and name a model that it serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ape_dtn.ai import DtnAi, model_calls, node_calls, to_model, to_node
from ape_dtn.answers.answer import Status
from ape_dtn.answers.record import Record, read_records
from ape_dtn.chain import reads, reverts, sends
from ape_dtn.chain.abi import Router
from ape_dtn.chain.reads import Call
from ape_dtn.errors import DtnError, NodeNotFound, NoNetwork, TransactionPending
from ape_dtn.names import as_hex, id_of
from ape_dtn.serving.answering import Backend, Result, Store, answer, responding
from ape_dtn.serving.backends.echo import echo

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.asking.model import Model


class DtnNode:
    """A node that answers from its worker's account.

    Args:
        ai: The network.
        name: The node's full name.
        worker: The account that the node was registered with.
        backend: What gives the answers.
        store: Stores an answer's content on IPFS and returns its identifier; without it, requests
            to be answered over IPFS fail.
    """

    def __init__(
        self,
        ai: DtnAi,
        name: str,
        worker: AccountAPI,
        backend: Backend = echo,
        store: Store | None = None,
    ) -> None:
        self.ai = ai
        self.name = name
        self.id = id_of(name, "node")
        self.worker = worker
        self.backend = backend
        self.store = store
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
        served, namespaces = self._registration()
        asked = {
            request_id: record
            for request_id, record in zip(ids, read_records(self.ai, ids), strict=True)
            if record.status is Status.PENDING
            and record.model_id in served
            and (self.id in record.nodes or not namespaces.isdisjoint(record.namespaces))
        }
        answered, is_all = self._respond(asked, served)
        if is_all:
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

    def _registration(self) -> tuple[dict[bytes, Model], set[bytes]]:
        """The models that it serves, and the trust namespaces that it is a member of."""
        contracts = self.ai.contracts()
        calls = node_calls(contracts.node_manager, self.id)
        node = to_node(self.name, *reads.read(self.ai.provider, *calls))
        if node is None:
            raise NodeNotFound(self.name)
        described = [
            call for each in node.models for call in model_calls(contracts.model_manager, each)
        ]
        answers = iter(reads.read(self.ai.provider, *described)) if described else iter(())
        models = [
            to_model(self.ai, as_hex(each), next(answers), next(answers)) for each in node.models
        ]
        return {model.id: model for model in models if model}, set(node.namespaces)

    def _respond(
        self, asked: Mapping[bytes, Record], served: Mapping[bytes, Model]
    ) -> tuple[list[str], bool]:
        """Answers requests, all on their way at once.

        Returns:
            The ids of those that are answered, and whether nothing is left to be tried again.
        """
        ids = list(asked)
        answered: dict[int, str] = {}
        passing: list[int] = []

        def told(place: int, outcome: sends.Receipt | DtnError) -> None:
            request_id = as_hex(ids[place])
            if isinstance(outcome, DtnError):  # such as a session that was closed meanwhile
                self._tell(f"request {request_id}: {outcome}")
                if isinstance(outcome, NoNetwork | TransactionPending):
                    passing.append(place)
            else:
                answered[place] = request_id

        responses = [
            responding(self.ai.router, self.id, each, record, self._result(each, record, served))
            for each, record in asked.items()
        ]
        sends.send_each(self.ai.provider, self.worker, responses, reverts.NOTHING, told)
        return [answered[place] for place in sorted(answered)], not passing

    def _result(self, request_id: bytes, record: Record, served: Mapping[bytes, Model]) -> Result:
        return answer(request_id, served[record.model_id], record, self.backend, self.store)
