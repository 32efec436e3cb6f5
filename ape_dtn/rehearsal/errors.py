"""Errors of rehearsals."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class UnknownContract(BadInput):
    """A contract that is not there, or whose functions are not known."""

    contract: str

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(f"'{contract}' cannot be called: {reason}.", contract=contract)
        self.hint = (
            "Pass an address, the name of a contract of the project, or NAME:ADDRESS. For a "
            "contract that is in no project, pass its ABI."
        )


class UnknownMethod(BadInput):
    """A function that a contract does not have, or not for what it is given."""

    method: str
    methods: list[str]

    def __init__(self, method: str, reason: str, methods: list[str]) -> None:
        super().__init__(f"'{method}' cannot be: {reason}.", method=method, methods=methods)
        self.hint = f"There are: {'; '.join(methods)}." if methods else None
