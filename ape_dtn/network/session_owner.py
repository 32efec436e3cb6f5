"""The owner of a session: an account, or its client contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ape_dtn.network.abi import Client, Router
from ape_dtn.types.transactions import Transaction, contract_call


@dataclass(frozen=True)
class SessionOwner:
    """The owner of a session on the chain: an account, or its client contract.

    Attributes:
        account: The account that signs.
        address: The owner: the account itself, or its client.
    """

    account: str
    address: str

    @property
    def is_client(self) -> bool:
        """Whether the owner is the account's client."""
        return self.address != self.account

    def request(
        self, router: str, arguments: tuple[Any, ...], user: str, callback_gas: int
    ) -> Transaction:
        """The transaction of a request: ``router.request``, or ``DtnClient.request``.

        Args:
            router: The router.
            arguments: Session, model, routing, request and callback, in the router's types.
            user: The user of the request. A client contract ignores it and names its owner.
            callback_gas: Gas for the callback, which is also the transaction's value in wei.
        """
        if self.is_client:
            given = (router, *arguments, callback_gas)
            return contract_call(self.address, Client.request, *given, value=callback_gas)
        given = (*arguments, user, callback_gas)
        return contract_call(router, Router.request, *given, value=callback_gas)

    def close(self, router: str, session_id: int) -> Transaction:
        """The transaction that closes a session and refunds the account."""
        if self.is_client:
            return contract_call(self.address, Client.close, router, session_id)
        return contract_call(router, Router.close_user_session, session_id)
