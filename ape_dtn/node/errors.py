"""Errors of running a node."""

from __future__ import annotations

from ape_dtn.types.errors import REFUSED, BadInput, DtnError


class InvalidBackend(BadInput):
    """A node's backend cannot be used as it is configured. ``backend`` is what it is for."""

    backend: str
    reason: str

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(
            f"The backend for '{backend}' cannot be used: {reason}.", backend=backend, reason=reason
        )
        self.hint = "Look at --backend, or at `dtn: backends:` in ape-config.yaml."


class NoBackend(BadInput):
    """A node serves a model, and nothing is configured that answers for it."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(f"No backend is configured for model {model}.", model=model)
        self.hint = (
            'Name one under `dtn: backends:` in ape-config.yaml, "*" for all models, or pass '
            "--backend."
        )


class LedgerUnusable(DtnError):
    """The file in which a node keeps what it has answered cannot be read or written."""

    exit_code = REFUSED

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The node's ledger {path} cannot be used: {reason}.", path=path)
        self.hint = (
            "Where the disk is well and has room, remove it: what is open on the chain is then "
            "found, and answered, anew."
        )


class NotTheWorker(BadInput):
    """An account that is not the worker of a node, whose responses the contracts would refuse."""

    def __init__(self, node: str, worker: str, account: str) -> None:
        super().__init__(f"The worker of {node} is {worker}, and not {account}.", worker=worker)
        self.hint = "Name the account with --worker."
