"""Errors raised while running a node."""

from __future__ import annotations

from ape_dtn.types.errors import REFUSED, BadInput, DtnError


class InvalidBackend(BadInput):
    """The configuration of a model's backend is invalid; ``backend`` is the model, or ``*``."""

    backend: str
    reason: str

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(
            f"Invalid backend for '{backend}': {reason}.", backend=backend, reason=reason
        )
        self.hint = "Correct `dtn: backends:` in ape-config.yaml, or the `backend` that you passed."


class NoBackend(BadInput):
    """No backend is configured for a model that the node serves."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(f"No backend is configured for model {model}.", model=model)
        self.hint = (
            "Add the model, or `*` for all models, to `dtn: backends:` in ape-config.yaml, or pass "
            "`backend`."
        )


class LedgerUnusable(DtnError):
    """The node's ledger, the file of its claims and answers, cannot be read or written."""

    exit_code = REFUSED

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"Cannot read or write the node's ledger {path}: {reason}.", path=path)
        self.hint = (
            "Check that the disk is writable and has space. If it is, delete the file: the node "
            "then finds its open requests on the chain, and asks its backend for them again."
        )


class NotTheWorker(BadInput):
    """An account that is not the node's worker: the contracts would reject its responses."""

    def __init__(self, node: str, worker: str, account: str) -> None:
        super().__init__(f"The worker of {node} is {worker}, not {account}.", worker=worker)
        self.hint = "Pass the worker's account as `worker`."
