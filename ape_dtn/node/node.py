"""A node: reads what is asked, answers it, is paid.

Each step is here once: to look, to take, to answer, to send. They are taken one after another by
:meth:`DtnNode.answer_pending`, and many at a time by :meth:`DtnNode.serve`.
"""

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

    It answers the requests that trust it, name a model that it serves and keep to its terms.

    Args:
        ai: The network.
        name: The node's full name.
        worker: The account that the node was registered with.
        backend: What gives the answers.
        store: Stores an answer's content on IPFS and returns its identifier; without it, requests
            to be answered over IPFS fail.
        terms: What it takes.
        ledger: What is kept of its work; by default in memory, as long as this object is there. See
            :func:`ape_dtn.node.store.ledger_of`.
        at_once: How many answers :meth:`serve` has a backend asked for at a time.
        timeout: For how many seconds :meth:`serve` waits for one.
        listeners: Told all that happens, besides the log ``ape_dtn.node``.

    Attributes:
        tally: The sums of what it has done.
    """

    def answer_pending(self) -> list[str]:
        """Answers what has been asked since the last time, and waits until that is mined.

        Returns:
            Ids of the requests that were answered.

        Raises:
            DtnError: The chain cannot be read, or nothing can be sent.
        """
        answered: list[str] = []

        def told(each: PendingResponse, outcome: Receipt | DtnError) -> None:
            if self.came_of(each, outcome):
                answered.append(as_hex(each.task.request_id))

        while True:
            self.look()
            taken = self.take(len(self.work.open))
            ready = [self._kept_or_asked(task, kept) for task, kept in taken.items()]
            left = self.send(ready, told)
            self._in_hand.clear()  # what is left is still open
            if left and len(left) == len(ready) and left[0].trouble:
                raise left[0].trouble
            if left or not self.work.has_more:
                return answered

    def serve(self, stop: Callable[[], bool] = lambda: False, poll: float | None = None) -> None:
        """Answers what is asked until told to stop, or interrupted.

        What is being sent then is finished. Nothing that befalls a request, a backend or the
        connection ends it.

        Args:
            stop: Asked again and again.
            poll: Seconds between looks at the chain; by default by the time between its blocks.
        """
        from ape_dtn.node.runner import Runner

        Runner(self, stop, poll).run()
