"""Errors of funding a session."""

from __future__ import annotations

from ape_dtn.types.errors import Refused


class UnsafeDeposit(Refused):
    """A deposit that anybody could take was about to be sent on a public network."""

    def __init__(self) -> None:
        super().__init__(
            "On a public network, whoever calls startUserSession first owns your deposit: between "
            "the transfer and the start, which are two transactions, anybody can take it."
        )
        self.hint = (
            "Leave out --method two-step to have both done in one transaction, or accept the risk: "
            "--unsafe-two-step."
        )


class MethodUnavailable(Refused):
    """A session cannot be started in the way that was asked for, or in none that is safe."""

    reasons: dict[str, str]

    def __init__(self, reasons: dict[str, str]) -> None:
        listed = "; ".join(f"{method}: {why}" for method, why in reasons.items())
        super().__init__(
            f"There is no way to deposit and start in one transaction here. {listed}."
            if len(reasons) > 1
            else f"A session cannot be started so: {listed}.",
            reasons=reasons,
        )
        self.hint = (
            "Choose another --method, or start the session from another account."
            if len(reasons) == 1
            else "Use another account, or accept that anybody can take the deposit: "
            "--unsafe-two-step."
        )
