"""Errors of rehearsals."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class UnknownContract(BadInput):
    """A contract that cannot be called, because its address or its ABI is not known."""

    contract: str

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(f"Cannot call '{contract}': {reason}.", contract=contract)
        self.hint = (
            "Pass an address, the name of a contract of the project, or NAME:ADDRESS. For a "
            "contract that is in no project, pass its ABI."
        )


class UnknownMethod(BadInput):
    """A function that a contract does not have, or arguments that do not fit it."""

    method: str
    methods: list[str]

    def __init__(self, method: str, reason: str, methods: list[str]) -> None:
        super().__init__(f"Cannot call '{method}': {reason}.", method=method, methods=methods)
        self.hint = f"The contract has: {'; '.join(methods)}." if methods else None
