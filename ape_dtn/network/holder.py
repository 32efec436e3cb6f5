"""How an account uses a session: as its owner, or through its client contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ape_dtn.network.abi import Client, Router
from ape_dtn.types.transactions import Transaction, contract_call


@dataclass(frozen=True)
class SessionOwner:
    """Whose a session is on the chain, and how an account uses it: its own, or its client's.

    Attributes:
        account: Who signs.
        address: The session's owner: the account itself, or its client.
    """

    account: str
    address: str

    @property
    def is_client(self) -> bool:
        """Whether a client stands between the account and the router."""
        return self.address != self.account

    def request(
        self, router: str, arguments: tuple[Any, ...], user: str, callback_gas: int
    ) -> Transaction:
        """Asks (``router.request``, or ``DtnClient.request``, which names the user itself).

        Args:
            router: The router.
            arguments: Session, model, routing, request and callback, as the router takes them.
            user: On whose behalf it is asked.
            callback_gas: Gas for the callback; the transaction carries as many wei.
        """
        if self.is_client:
            given = (router, *arguments, callback_gas)
            return contract_call(self.address, Client.request, *given, value=callback_gas)
        given = (*arguments, user, callback_gas)
        return contract_call(router, Router.request, *given, value=callback_gas)

    def close(self, router: str, session_id: int) -> Transaction:
        """Closes a session; the refund goes to the account either way."""
        if self.is_client:
            return contract_call(self.address, Client.close, router, session_id)
        return contract_call(router, Router.close_user_session, session_id)
