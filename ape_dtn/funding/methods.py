"""Which way a deposit becomes a session: what the account, the chain and the token allow.

Between a bare transfer and a bare start anybody can take the deposit, so that all ways but the last
make both in one transaction. What comes before that transaction moves no money.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from ape_dtn.chain import reads, rpc, signers
from ape_dtn.chain.networks import is_local
from ape_dtn.chain.reads import Call
from ape_dtn.funding import batch, signatures
from ape_dtn.funding.errors import MethodUnavailable, UnsafeDeposit
from ape_dtn.network import client_contract, reverts
from ape_dtn.network.abi import ERC20, Client, Delegate, Router
from ape_dtn.network.context import Network
from ape_dtn.network.deployments import is_fork
from ape_dtn.network.errors import InsufficientFunds
from ape_dtn.network.holder import SessionOwner
from ape_dtn.network.registry import Contracts, token_calls
from ape_dtn.types.amount import Amount, AmountLike, Token
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.rpc import as_bytes, as_int
from ape_dtn.types.transactions import Transaction, contract_call
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# What starting may use at most where it cannot be estimated, as what it runs on is not there yet.
# The live network uses 182,004; with a delegation, 210,657.
START_GAS = 400_000

# What an approval may use at most. Tokens behind a proxy use up to 60,000.
APPROVE_GAS = 100_000


class Method(Enum):
    """How a deposit becomes a session; the value is what users type.

    All but the last do it in one transaction.
    """

    BATCH = "batch"
    """A smart account, such as a Safe, makes the transfer and the start together."""
    DELEGATE = "delegate"
    """The account runs ``DtnDelegate`` as its own code (EIP-7702), and stays the owner itself."""
    AUTHORIZATION = "authorization"
    """The account's client collects a signed payment (EIP-3009)."""
    PERMIT = "permit"
    """The account's client is permitted the amount by a signature (EIP-2612)."""
    ALLOWANCE = "allowance"
    """The account's client is approved the amount by a transaction, and then takes it."""
    TWO_STEP = "two-step"
    """A transfer and a start, between which anybody can take the deposit."""

    def __str__(self) -> str:
        return self.value

    @property
    def by_client(self) -> bool:
        """Whether the session belongs to the account's client on the chain."""
        return self in (Method.AUTHORIZATION, Method.PERMIT, Method.ALLOWANCE)

    @property
    def description(self) -> str:
        """What it does, in a few words."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Method.BATCH: "deposit and start in one batch of the smart account",
    Method.DELEGATE: "deposit and start in one transaction, by EIP-7702",
    Method.AUTHORIZATION: "deposit and start in one transaction, by a signed payment to your "
    "client contract",
    Method.PERMIT: "deposit and start in one transaction, by a permit for your client contract",
    Method.ALLOWANCE: "approval, then deposit and start in one transaction, by your client "
    "contract",
    Method.TWO_STEP: "deposit and start in two transactions, between which anybody can take the "
    "deposit",
}

# Which one is chosen, the first that can be. An account's code is changed only for who asks for it:
# the delegate is chosen where it is already there.
_ORDER = (
    Method.BATCH,
    Method.DELEGATE,
    Method.AUTHORIZATION,
    Method.PERMIT,
    Method.ALLOWANCE,
)


@dataclass(frozen=True)
class Plan:
    """How a session is going to be started. Nothing of it has been signed yet.

    Attributes:
        deposit: What is paid into it.
        method: How.
        holder: Whose it will be.
        preparations: What has to be sent before, by what it does. None of it moves money, and what
            is there already is left out.
        contracts: What is behind the router.
        delegates: Whether the account's code is changed (EIP-7702).
        signable: What the token takes signed.
        now: The chain's time, in seconds.
        made_at: When it was made, by the clock of this process.
    """

    deposit: Amount
    method: Method
    holder: SessionOwner
    preparations: Mapping[str, Transaction]
    contracts: Contracts
    delegates: bool = False
    signable: signatures.Signable | None = None
    now: int = 0
    made_at: float = field(default_factory=time.monotonic)

    @property
    def is_stale(self) -> bool:
        """Whether the chain may be otherwise by now, as after a question to the user."""
        return time.monotonic() - self.made_at > POLICY.stale_plan

    @property
    def details(self) -> dict[str, str]:
        """What the journal keeps of it."""
        return {
            "method": self.method.value,
            "holder": self.holder.address,
            "manager": self.contracts.session_manager,
            "fee_target": self.contracts.fee_target,
            "symbol": self.deposit.token.symbol,
            "decimals": str(self.deposit.token.decimals),
        }

    @property
    def token(self) -> Token:
        """The token that it is paid in."""
        return self.deposit.token

    @property
    def is_atomic(self) -> bool:
        """Whether nobody can come between the deposit and the start."""
        return self.method is not Method.TWO_STEP

    def transactions(self, ai: Network, account: AccountAPI) -> Sequence[Transaction]:
        """The transaction that deposits and starts; two where it is not atomic.

        Raises:
            SigningDeclined: The account signed no permit or authorization.
        """
        router, units, at = ai.router, self.deposit.units, self.holder.address
        if self.method is Method.ALLOWANCE:
            return (contract_call(at, Client.start, router, units),)
        if self.method is Method.DELEGATE:
            start = Delegate.start.encode(router, units)
            if not self.delegates:
                return (Transaction(at, start),)
            return (
                Transaction(at, start, gas_limit=START_GAS, delegate=client_contract.delegate()),
            )
        if self.method.by_client:
            assert self.signable is not None
            given = (account, self.signable, at, units, self.now)
            if self.method is Method.PERMIT:
                signed = signatures.permit(*given)
                return (contract_call(at, Client.start_with_permit, router, units, *signed),)
            signed = signatures.authorization(*given)
            return (contract_call(at, Client.start_with_authorization, router, units, *signed),)
        bare = two_steps(router, self.contracts, self.deposit)
        return (batch.batch(ai.provider, account, bare),) if self.is_atomic else bare

    def rehearsal(self, ai: Network) -> tuple[Mapping[str, Transaction], Mapping[str, bytes]]:
        """What can be simulated without a signature, by names, and the code that it needs.

        A permit or an authorization uses less gas than the approval that stands in for it here.
        """
        router, units, at = ai.router, self.deposit.units, self.holder.address
        if self.method is Method.DELEGATE:
            code = (
                {at: client_contract.delegation(client_contract.delegate())}
                if self.delegates
                else {}
            )
            delegate = client_contract.delegate() if self.delegates else None
            start = Transaction(at, Delegate.start.encode(router, units), delegate=delegate)
            return {**self.preparations, "start": start}, code
        if not self.method.by_client:
            transfer, start = two_steps(router, self.contracts, self.deposit)
            return {"transfer": transfer, "start": start}, {}
        approval = {"approve": _approve(self.deposit.token.address, at, units)}
        start = contract_call(at, Client.start, router, units)
        before = {} if self.method is Method.ALLOWANCE else approval
        return {**self.preparations, **before, "start": start}, {}


def two_steps(router: str, contracts: Contracts, deposit: Amount) -> Sequence[Transaction]:
    """The bare deposit and the bare start."""
    return (
        contract_call(deposit.token.address, ERC20.transfer, contracts.fee_target, deposit.units),
        contract_call(router, Router.start_user_session, gas_limit=START_GAS),
    )


def plan(
    ai: Network,
    account: AccountAPI,
    amount: AmountLike,
    method: Method | str | None = None,
    unsafe_two_step: bool = False,
    contracts: Contracts | None = None,
) -> Plan:
    """Finds the best way to start a session, in two HTTP requests. Nothing is signed.

    On a local chain, which nobody else sends to, the bare way is as good as any, and the account
    itself owns its sessions. A fork is treated as the chain that it was taken of.

    Args:
        ai: The network.
        account: Who pays.
        amount: The deposit.
        method: The way to take; by default the configured one, or else the best.
        unsafe_two_step: Take the bare way, also on a public network.
        contracts: What is behind the router, where that was just read.

    Raises:
        InvalidAmount: It is no amount of the fee token.
        InsufficientFunds: The account has less.
        MethodUnavailable: The way that was asked for cannot be taken, or none can.
        UnsafeDeposit: The bare way was asked for on a public network, and the risk not accepted.
    """
    contracts = contracts or ai.contracts()
    wanted = _wanted(ai, method, unsafe_two_step)
    seen = _see(ai, account, contracts, wanted)
    deposit = seen.token.amount(amount)
    if deposit.units > seen.balance:
        raise InsufficientFunds(seen.account, deposit, seen.token.units(seen.balance))
    if wanted is Method.TWO_STEP:
        if not (is_local(ai.provider) or unsafe_two_step):
            raise UnsafeDeposit
        return Plan(deposit, wanted, SessionOwner(seen.account, seen.account), {}, contracts)
    chosen = _choose(ai, account, seen, wanted)
    if chosen is Method.TWO_STEP:
        return Plan(deposit, chosen, SessionOwner(seen.account, seen.account), {}, contracts)
    return Plan(
        deposit=deposit,
        method=chosen,
        holder=SessionOwner(seen.account, seen.client if chosen.by_client else seen.account),
        preparations=dict(_preparations(chosen, seen, deposit)),
        contracts=contracts,
        delegates=chosen is Method.DELEGATE and not seen.is_delegated,
        signable=seen.signable,
        now=seen.now,
    )


@dataclass(frozen=True)
class _Seen:
    """What the choice depends on, as the chain has it."""

    account: str
    client: str
    token: Token
    balance: int
    now: int = 0
    signable: signatures.Signable | None = None
    allowance: int = 0
    code: bytes = b""
    has_client: bool = False
    has_implementation: bool = False
    has_delegate: bool = False
    has_deployer: bool = False
    has_delegations: bool = False

    @property
    def is_delegated(self) -> bool:
        """Whether the account runs our delegate."""
        return client_contract.delegated_to(self.code) == client_contract.delegate()


def _wanted(ai: Network, method: Method | str | None, unsafe_two_step: bool) -> Method | None:
    """The way that somebody asked for, or that needs no choice."""
    if unsafe_two_step:
        if method is not None and Method(method) is not Method.TWO_STEP:
            raise InvalidOption("unsafe_two_step", "another method is asked for besides")
        return Method.TWO_STEP
    asked = method or ai.config.method
    if asked is not None:
        return Method(asked)
    is_own = is_local(ai.provider) and not is_fork(ai.provider)
    return Method.TWO_STEP if is_own else None


def _see(ai: Network, account: AccountAPI, contracts: Contracts, wanted: Method | None) -> _Seen:
    owner, token = str(account.address), contracts.fee_token
    theirs = client_contract.client_of(owner)
    held = (*token_calls(token), Call(token, ERC20.balance_of, (owner,), contract="fee token"))
    if wanted is Method.TWO_STEP:
        symbol, decimals, balance = ai.read(*held)
        return _Seen(owner, theirs, Token(token, symbol, decimals), balance)
    places = (
        owner,
        theirs,
        client_contract.implementation(),
        client_contract.delegate(),
        client_contract.DEPLOYER,
    )
    views = (
        *held,
        Call(token, ERC20.allowance, (owner, theirs), contract="fee token"),
        *signatures.calls(token, owner),
    )
    block, *answers = rpc.ask(
        ai.provider,
        [
            ("eth_getBlockByNumber", ["latest", False]),
            *(("eth_getCode", [place, "latest"]) for place in places),
            *(view.request for view in views),
        ],
    )
    codes = [as_bytes(rpc.expect(code)) for code in answers[: len(places)]]
    decoded = reads.decode_all(views, answers[len(places) :], reverts.NO_CONTEXT)
    for needed in decoded[:4]:
        if isinstance(needed, DtnError):
            raise needed
    symbol, decimals, balance, allowance, *signing = decoded
    return _Seen(
        account=owner,
        client=theirs,
        token=Token(token, symbol, decimals),
        balance=balance,
        now=as_int(rpc.expect(block)["timestamp"]),
        signable=signatures.to_signable(token, ai.provider.chain_id, signing),
        allowance=allowance,
        code=codes[0],
        has_client=bool(codes[1]),
        has_implementation=bool(codes[2]),
        has_delegate=bool(codes[3]),
        has_deployer=bool(codes[4]),
        # The fork that brought EIP-7702 brought this field of a block's header too (EIP-7685).
        has_delegations="requestsHash" in block,
    )


def _choose(ai: Network, account: AccountAPI, seen: _Seen, wanted: Method | None) -> Method:
    reasons: dict[Method, str] = {}
    for method in (wanted,) if wanted else _ORDER:
        why_not = _why_not(method, account, seen)
        if why_not is None and method is Method.DELEGATE and not (wanted or seen.is_delegated):
            why_not = "it would change the account's code, which is done only on demand"
        if why_not is None:
            return method
        reasons[method] = why_not
    raise MethodUnavailable({method.value: why for method, why in reasons.items()})


def _why_not(method: Method, account: AccountAPI, seen: _Seen) -> str | None:
    """Why a way cannot be taken; None where it can."""
    if method is Method.BATCH:
        if not seen.code:
            return "the account is no smart account"
        return None if batch.can_batch(account) else "the account cannot make several calls in one"
    if method is Method.DELEGATE:
        return _why_no_delegate(account, seen)
    if not (seen.has_deployer or (seen.has_client and seen.has_implementation)):
        return "the chain lacks the deployment proxy that creates client contracts"
    if method is Method.ALLOWANCE:
        return None
    if not signers.signs_raw(account):
        return "the account signs no messages"
    if seen.code and not seen.is_delegated:
        return "the account runs code of its own, which decides what its signatures are good for"
    takes = seen.signable and (
        seen.signable.takes_authorizations
        if method is Method.AUTHORIZATION
        else seen.signable.nonce is not None
    )
    return None if takes else f"{seen.token.symbol} does not take it"


def _why_no_delegate(account: AccountAPI, seen: _Seen) -> str | None:
    if not signers.signs_delegations(account):
        return "the account signs no delegations"
    if seen.is_delegated:
        return None
    if seen.code:
        return "the account runs other code already, which would be replaced"
    if not seen.has_delegations:
        return "the chain has no EIP-7702 yet"
    if not (seen.has_delegate or seen.has_deployer):
        return "the chain lacks the deployment proxy that creates the delegate"
    return None


def _preparations(
    method: Method, seen: _Seen, deposit: Amount
) -> Iterator[tuple[str, Transaction]]:
    """What has to be there first, and is not."""
    if method is Method.DELEGATE and not seen.has_delegate:
        yield (
            "create the delegate, once for everybody on this chain",
            client_contract.create_delegate(),
        )
    if not method.by_client:
        return
    if not seen.has_implementation:
        what = "create the code of all clients, once for everybody on this chain"
        yield what, client_contract.create_implementation()
    if not seen.has_client:
        yield (
            f"create your client contract {seen.client}",
            client_contract.create_client(seen.account),
        )
    if method is not Method.ALLOWANCE or seen.allowance >= deposit.units:
        return
    if seen.allowance:  # some tokens, as USDT, change an allowance only from zero
        yield "take back the former approval", _approve(seen.token.address, seen.client, 0)
    approve = _approve(seen.token.address, seen.client, deposit.units)
    yield f"approve your client contract {deposit}", approve


def _approve(token: str, spender: str, units: int) -> Transaction:
    return contract_call(token, ERC20.approve, spender, units, gas_limit=APPROVE_GAS)
