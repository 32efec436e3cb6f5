"""Errors of funding a session."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class UnsafeDeposit(Refused):
    """A bare deposit, which any account could claim, was requested on a public network."""

    def __init__(self) -> None:
        super().__init__(
            "Method two-step sends the deposit and the start as two transactions. On a public "
            "network, another account can claim the deposit between them."
        )
        self.hint = (
            "Pass another method to do both in one transaction, or accept the risk: "
            "unsafe_two_step=True."
        )


class MethodUnavailable(Refused):
    """The requested method cannot fund a session, or no safe method can."""

    reasons: dict[str, str]

    def __init__(self, reasons: dict[str, str]) -> None:
        listed = "; ".join(f"{method}: {why}" for method, why in reasons.items())
        super().__init__(
            f"No method can deposit and start in one transaction. {listed}."
            if len(reasons) > 1
            else f"The method is not available. {listed}.",
            reasons=reasons,
        )
        self.hint = (
            "Pass another method, or start the session from another account."
            if len(reasons) == 1
            else "Use another account, or accept the risk that another account claims the deposit: "
            "unsafe_two_step=True."
        )
