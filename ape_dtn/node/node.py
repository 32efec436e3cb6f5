"""A node: finds requests on the chain, answers them, and is paid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ape_dtn.node.responder import Responder
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex
from ape_dtn.types.transactions import Receipt

if TYPE_CHECKING:
    from ape_dtn.node.responder import PendingResponse


class DtnNode(Responder):
    """A node that answers from its worker's account.

    It answers requests that trust the node, name a model it serves, and meet its terms.

    Args:
        ai: The network.
        name: The node's full name.
        worker: The account that the node was registered with.
        backend: Produces the answers.
        store: Stores an answer's content on IPFS and returns its CID; without one, requests for
            answers over IPFS fail.
        terms: The requests that it accepts.
        ledger: Where claims and answers are recorded; by default in memory, for the lifetime of
            this object. See :func:`ape_dtn.node.store.open_ledger`.
        at_once: How many questions :meth:`serve` passes to the backend concurrently.
        timeout: Seconds that :meth:`serve` waits for an answer.
        listeners: Called with every event, in addition to the log ``ape_dtn.node``.

    Attributes:
        counters: Totals since the node was created.
    """

    def answer_pending(self) -> list[str]:
        """Answer every request asked since the last call, one after another, and wait until mined.

        Returns:
            Ids of the answered requests.

        Raises:
            DtnError: The chain cannot be read, or no response can be sent.
        """
        answered: list[str] = []

        def on_result(response: PendingResponse, outcome: Receipt | DtnError) -> None:
            if self.record_outcome(response, outcome):
                answered.append(as_hex(response.task.request_id))

        while True:
            self.scan()
            claimed = self.claim(len(self.queue.open))
            responses = [self._stored_or_produced(task, stored) for task, stored in claimed.items()]
            unsent = self.send(responses, on_result)
            self._claimed.clear()  # unsent requests are still open
            if unsent and len(unsent) == len(responses) and unsent[0].error:
                raise unsent[0].error
            if unsent or not self.queue.has_more:
                return answered

    def serve(self, stop: Callable[[], bool] = lambda: False, poll: float | None = None) -> None:
        """Answer requests until ``stop`` returns true or the program is interrupted.

        Responses being sent are finished first. Failing requests, backends and connections are
        reported as events and do not end the loop.

        Args:
            stop: Polled; return true to stop.
            poll: Seconds between scans of the chain; by default derived from its block time.
        """
        from ape_dtn.node.runner import Runner

        Runner(self, stop, poll).run()
