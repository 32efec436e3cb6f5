"""Recovering what an account has on the network."""

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


# Closed sessions and taken deposits are reported for this many blocks: a week of 2-second blocks.
RECENT_BLOCKS = 302_400

Rescued: TypeAlias = Union["Amount", "Answer", "DtnSession"]


class DtnRescue:
    """Finds and recovers what an account and its client contract have on the network.

    Everything is read from the chain: no journal and no file is needed.

    Args:
        account: The account, which signs; or its address, which is enough for :meth:`findings`.
        ai: The network; by default that of the connected chain.

    Raises:
        InvalidAddress: The address is malformed.
    """

    def __init__(self, account: AccountAPI | str, ai: DtnAi | None = None) -> None:
        self.ai = ai or DtnAi()
        self.account = None if isinstance(account, str) else account
        self.owner = to_address(account if isinstance(account, str) else str(account.address))

    def __repr__(self) -> str:
        return f"<DtnRescue of {self.owner} at {self.ai.router}>"

    @property
    def client(self) -> str:
        """The address of the account's client contract, which may not exist yet."""
        return client_contract.client_of(self.owner)

    def findings(self, *, since: int | None = None, tokens: Sequence[str] = ()) -> list[Finding]:
        """Find everything, money first; see :class:`~ape_dtn.rescue.finding.Kind` for the order.

        Open sessions and waiting deposits are found however old they are. Requests of closed
        sessions and taken deposits are found in recent blocks only. This takes at most 16 HTTP
        requests, unless the endpoint limits block ranges or batches.

        Args:
            since: The first block that counts as recent; by default :data:`RECENT_BLOCKS` ago.
            tokens: Addresses of further tokens to sweep from the client, besides those that
                sessions are paid in. Other tokens in the client are only reported.

        Raises:
            InvalidAddress: The address of a token is malformed.
            NoContractAtAddress: There is no token at an address.
            RpcRefused: The endpoint does not serve the events.
        """
        addresses = [to_address(token) for token in tokens]
        return explain(scan(self.ai, self.owner, since, RECENT_BLOCKS, addresses))

    def apply(self, finding: Finding, *, force: bool = False, claim: bool = False) -> Rescued:
        """Apply the remedy of a finding.

        Args:
            finding: A finding from :meth:`findings` that has a remedy.
            force: Close a session even if requests of it have no answer.
            claim: Start a session with everything at the fee target, even if some of it belongs to
                others.

        Returns:
            The refund of a closed session; the amount swept from the client; the session started
            with a waiting deposit, which stays open; or the answer.

        Raises:
            NoRemedy: The finding has no remedy.
            ConsentMissing: The remedy is a claim, and ``claim`` is not set.
            RequestsPending: Requests of the session have no answer, and ``force`` is not set.
            NothingDeposited: The deposit was taken in the meantime.
            NoAccount: A transaction must be signed, and only an address was given.
            DtnError: The answer cannot be read; see ``DtnRequest.answer``.
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
        """Send the client's whole balance of a token, or of native currency, to the account."""
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
        if finding.kind is Kind.CLIENT_NATIVE:  # its transfer emits no event
            before = [self.client, hex(receipt.block_number - 1)]
            return token.units(as_int(rpc.result(provider, "eth_getBalance", before)))
        transfers = ERC20.transferred.find(receipt.logs, token.address)
        return token.units(
            sum(
                transfer["value"]
                for transfer in transfers
                if (transfer["from"], transfer["to"]) == (self.client, self.owner)
            )
        )

    def _missing(self) -> list[Transaction]:
        """Return the transactions that create the client. It can receive funds before it exists.

        Raises:
            NoContractAtAddress: The chain lacks the deployment proxy, which must create it.
        """
        addresses = client_contract.DEPLOYER, client_contract.implementation(), self.client
        codes = rpc.ask(
            self.ai.provider, [("eth_getCode", [address, "latest"]) for address in addresses]
        )
        has_deployer, has_implementation, has_client = (
            bool(as_bytes(rpc.expect(code))) for code in codes
        )
        missing = [] if has_implementation else [client_contract.create_implementation()]
        missing += [] if has_client else [client_contract.create_client(self.owner)]
        if missing and not has_deployer:
            raise NoContractAtAddress(client_contract.DEPLOYER, "deployment proxy")
        return missing
