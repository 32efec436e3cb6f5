"""Finds what an account has anywhere on the network, and brings it home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.errors import NoContractAtAddress
from ape_dtn.client.ai import DtnAi
from ape_dtn.network import client_contract, reverts
from ape_dtn.network.abi import ERC20, Client
from ape_dtn.rescue.errors import ConsentMissing, NoRemedy
from ape_dtn.rescue.explain import explain
from ape_dtn.rescue.finding import Finding, Kind, Remedy
from ape_dtn.rescue.scan import scan
from ape_dtn.types.amount import Amount
from ape_dtn.types.errors import NoAccount
from ape_dtn.types.ids import to_address
from ape_dtn.types.rpc import as_bytes, as_int
from ape_dtn.types.transactions import Transaction, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.session import DtnSession
    from ape_dtn.types.answer import Answer


# For how many blocks what is over is told: a week, where they are two seconds apart.
LATELY = 302_400

Rescued: TypeAlias = Union["Amount", "Answer", "DtnSession"]


class DtnRescue:
    """All that an account, and its client contract, have on the network.

    It is found from the chain alone: no journal and no file is needed, and any machine finds it.

    Args:
        account: The account, which then signs; or an address, to look only.
        ai: The network; by default that of the connected chain.

    Raises:
        InvalidAddress: The address is none.
    """

    def __init__(self, account: AccountAPI | str, ai: DtnAi | None = None) -> None:
        self.ai = ai or DtnAi()
        self.account = None if isinstance(account, str) else account
        self.owner = to_address(account if isinstance(account, str) else str(account.address))

    def __repr__(self) -> str:
        return f"<DtnRescue of {self.owner} at {self.ai.router}>"

    @property
    def client(self) -> str:
        """The address of the account's client, whether it was created or not."""
        return client_contract.client_of(self.owner)

    def findings(self, *, since: int | None = None, tokens: Sequence[str] = ()) -> list[Finding]:
        """All that there is, money first; see :class:`~ape_dtn.rescue.finding.Kind`.

        What is open is told, however old it is. What is over, as the requests of a closed session,
        is told of the latest blocks. It takes 16 HTTP requests at most, however much there is,
        unless the endpoint limits ranges of blocks and batches.

        Args:
            since: The block from which on what is over is told; by default :data:`LATELY` ago.
            tokens: Addresses of tokens to be swept from the client, besides those that sessions
                are paid with. Others that it has are told, and not swept.

        Raises:
            InvalidAddress: A token's address is none.
            NoContractAtAddress: There is no token at one.
            RpcRefused: The endpoint does not serve the events.
        """
        given = [to_address(each) for each in tokens]
        return explain(scan(self.ai, self.owner, since, LATELY, given))

    def apply(self, finding: Finding, *, force: bool = False, claim: bool = False) -> Rescued:
        """Does what can be done about a finding.

        Args:
            finding: One of :meth:`findings`, with a remedy.
            force: Close a session also while requests of it have no answer.
            claim: Start a session with all that waits at the fee target, although some of it may be
                somebody else's.

        Returns:
            What came back: of a session the refund, of the client what was swept; the session that
            was started with what waited, which stays open; or the answer.

        Raises:
            NoRemedy: Nothing can be done about it.
            ConsentMissing: What waits may be somebody else's, and ``claim`` was not given.
            RequestsPending: Requests of the session have no answer, and ``force`` was not given.
            NothingDeposited: What waited was taken meanwhile.
            NoAccount: It has to be signed, and only an address is known.
            DtnError: What reading the answer raises; see ``DtnRequest.answer``.
        """
        from ape_dtn.client.request import DtnRequest
        from ape_dtn.client.session import DtnSession

        if finding.remedy is Remedy.READ:
            assert finding.request_id is not None
            return DtnRequest.load(finding.request_id, self.ai).answer()
        if finding.remedy is None:
            raise NoRemedy(finding.about)
        if finding.remedy is Remedy.CLAIM and not claim:
            raise ConsentMissing
        if self.account is None:
            raise NoAccount
        if finding.remedy is Remedy.CLAIM:
            return DtnSession.claim(self.account, self.ai)
        if finding.remedy is Remedy.SWEEP:
            return self._sweep(self.account, finding)
        assert finding.session_id is not None
        return DtnSession(self.ai, finding.session_id, self.account).close(force=force)

    def _sweep(self, account: AccountAPI, finding: Finding) -> Amount:
        """Sends all that the client has of a token, or of the coin, to the account."""
        assert finding.amount is not None
        provider, token = self.ai.provider, finding.amount.token
        if missing := self._missing():
            transactions.send_together(provider, account, missing, reverts.NO_CONTEXT)
        receipt = transactions.send(
            provider,
            account,
            contract_call(self.client, Client.sweep, token.address),
            reverts.NO_CONTEXT,
        )
        if finding.kind is Kind.CLIENT_COIN:  # which leaves no event
            before = [self.client, hex(receipt.block_number - 1)]
            return token.units(as_int(rpc.result(provider, "eth_getBalance", before)))
        moved = ERC20.transferred.find(receipt.logs, token.address)
        return token.units(
            sum(
                each["value"]
                for each in moved
                if (each["from"], each["to"]) == (self.client, self.owner)
            )
        )

    def _missing(self) -> list[Transaction]:
        """What creates the client, where somebody has sent to it before it was there.

        Raises:
            NoContractAtAddress: The chain lacks the deployment proxy, which alone can create it.
        """
        places = client_contract.DEPLOYER, client_contract.implementation(), self.client
        codes = rpc.ask(self.ai.provider, [("eth_getCode", [each, "latest"]) for each in places])
        has_deployer, has_implementation, has_client = (
            bool(as_bytes(rpc.expect(code))) for code in codes
        )
        missing = [] if has_implementation else [client_contract.create_implementation()]
        missing += [] if has_client else [client_contract.create_client(self.owner)]
        if missing and not has_deployer:
            raise NoContractAtAddress(client_contract.DEPLOYER, "deployment proxy")
        return missing
