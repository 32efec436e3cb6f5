"""Methods to fund a session, and which of them the account, the chain and the token support.

Any account can claim a deposit before its start, so all methods but ``two-step`` do both in one
transaction. The preparations before that transaction move no money.
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
from ape_dtn.network.registry import Contracts, token_calls
from ape_dtn.network.session_owner import SessionOwner
from ape_dtn.types.amount import Amount, AmountLike, Token
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import as_bytes, as_int
from ape_dtn.types.transactions import Transaction, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# Gas limit of a start that cannot be estimated, because its deposit or delegation is not mined yet.
# The live network uses 182,004; with a delegation, 210,657.
START_GAS = 400_000

# Gas limit of an approval. Tokens behind a proxy use up to 60,000.
APPROVE_GAS = 100_000


class Method(Enum):
    """How a session is funded. The values are the names that users pass.

    All but the last take one transaction.
    """

    BATCH = "batch"
    """A smart account, such as a Safe, batches the transfer and the start."""
    DELEGATE = "delegate"
    """The account delegates to ``DtnDelegate`` (EIP-7702), and owns the session itself."""
    AUTHORIZATION = "authorization"
    """The client contract collects a signed payment (EIP-3009)."""
    PERMIT = "permit"
    """The client contract collects the amount by a signed permit (EIP-2612)."""
    ALLOWANCE = "allowance"
    """The client contract collects an amount that a transaction has approved."""
    TWO_STEP = "two-step"
    """A transfer and a start, between which any account can claim the deposit."""

    def __str__(self) -> str:
        return self.value

    @property
    def by_client(self) -> bool:
        """Whether the session's owner on the chain is the account's client contract."""
        return self in (Method.AUTHORIZATION, Method.PERMIT, Method.ALLOWANCE)

    @property
    def description(self) -> str:
        """A short description."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Method.BATCH: "deposit and start in one batch of the smart account",
    Method.DELEGATE: "deposit and start in one transaction, by EIP-7702",
    Method.AUTHORIZATION: "deposit and start in one transaction, by a signed payment to your "
    "client contract",
    Method.PERMIT: "deposit and start in one transaction, by a permit for your client contract",
    Method.ALLOWANCE: "approval, then deposit and start in one transaction, by your client "
    "contract",
    Method.TWO_STEP: "deposit and start in two transactions, between which any account can claim "
    "the deposit",
}

# The order of preference. ``delegate`` is chosen only for an account that is already delegated:
# setting a delegation changes the account's code, and needs an explicit request.
_ORDER = (
    Method.BATCH,
    Method.DELEGATE,
    Method.AUTHORIZATION,
    Method.PERMIT,
    Method.ALLOWANCE,
)


@dataclass(frozen=True)
class Plan:
    """How a session will be started. Nothing is signed yet.

    Attributes:
        deposit: The deposit.
        method: The method.
        holder: The session's future owner.
        preparations: Transactions to send first, by description. None of them moves money.
        contracts: The contracts behind the router.
        delegates: Whether the start sets the account's delegation (EIP-7702).
        signable: The token's domain for signatures.
        now: The chain's time, in seconds.
        made_at: When the plan was made, by the monotonic clock.
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
        """Whether the plan is too old to be signed, as after a confirmation prompt."""
        return time.monotonic() - self.made_at > POLICY.stale_plan

    @property
    def details(self) -> dict[str, str]:
        """What the journal stores of the plan."""
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
        """The token of the deposit."""
        return self.deposit.token

    @property
    def is_atomic(self) -> bool:
        """Whether the deposit and the start are one transaction."""
        return self.method is not Method.TWO_STEP

    def transactions(self, ai: Network, account: AccountAPI) -> Sequence[Transaction]:
        """The transaction that deposits and starts; two for ``two-step``.

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
            arguments = (account, self.signable, at, units, self.now)
            if self.method is Method.PERMIT:
                signed = signatures.permit(*arguments)
                return (contract_call(at, Client.start_with_permit, router, units, *signed),)
            signed = signatures.authorization(*arguments)
            return (contract_call(at, Client.start_with_authorization, router, units, *signed),)
        bare = two_steps(router, self.contracts, self.deposit)
        return (batch.batch(ai.provider, account, bare),) if self.is_atomic else bare

    def rehearsal(self, ai: Network) -> tuple[Mapping[str, Transaction], Mapping[str, bytes]]:
        """The transactions to simulate, by name, and the code to assume at addresses.

        Nothing is signed for a simulation: an approval, which costs more gas, stands in for a
        permit or an authorization.
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
        stand_in = {"approve": _approve(self.deposit.token.address, at, units)}
        start = contract_call(at, Client.start, router, units)
        approval = {} if self.method is Method.ALLOWANCE else stand_in
        return {**self.preparations, **approval, "start": start}, {}


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
    """Plans how to start a session, in two HTTP requests. Nothing is signed.

    On a local chain, where no other account sends, the default is ``two-step``. A fork counts as
    the network that it was forked from.

    Args:
        ai: The network.
        account: The account that pays.
        amount: The deposit.
        method: The method; by default the configured one, or else the first that is available.
        unsafe_two_step: Use ``two-step``, also on a public network.
        contracts: The contracts behind the router, if they were just read.

    Raises:
        InvalidAmount: The amount is not one of the fee token.
        InsufficientFunds: The account has less.
        MethodUnavailable: The requested method is not available, or none is.
        UnsafeDeposit: ``two-step`` was requested on a public network without accepting the risk.
    """
    contracts = contracts or ai.contracts()
    requested = _requested(ai, method, unsafe_two_step)
    state = _read_state(ai, account, contracts, requested)
    deposit = state.token.amount(amount)
    if deposit.units > state.balance:
        raise InsufficientFunds(state.account, deposit, state.token.units(state.balance))
    if requested is Method.TWO_STEP:
        if not (is_local(ai.provider) or unsafe_two_step):
            raise UnsafeDeposit
        return Plan(deposit, requested, SessionOwner(state.account, state.account), {}, contracts)
    chosen = _choose(account, state, requested)
    if chosen is Method.TWO_STEP:
        return Plan(deposit, chosen, SessionOwner(state.account, state.account), {}, contracts)
    return Plan(
        deposit=deposit,
        method=chosen,
        holder=SessionOwner(state.account, state.client if chosen.by_client else state.account),
        preparations=dict(_preparations(chosen, state, deposit)),
        contracts=contracts,
        delegates=chosen is Method.DELEGATE and not state.is_delegated,
        signable=state.signable,
        now=state.now,
    )


@dataclass(frozen=True)
class _State:
    """State of the chain that the choice of a method depends on."""

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
        """Whether the account delegates to ``DtnDelegate``."""
        return client_contract.delegated_to(self.code) == client_contract.delegate()


def _requested(ai: Network, method: Method | str | None, unsafe_two_step: bool) -> Method | None:
    """The method that the caller or the configuration names; None to choose one."""
    if unsafe_two_step:
        if method is not None and Method(method) is not Method.TWO_STEP:
            raise InvalidOption("unsafe_two_step", f"it contradicts method {method}")
        return Method.TWO_STEP
    if (named := method or ai.config.method) is not None:
        return Method(named)
    is_own = is_local(ai.provider) and not is_fork(ai.provider)
    return Method.TWO_STEP if is_own else None


def _read_state(
    ai: Network, account: AccountAPI, contracts: Contracts, requested: Method | None
) -> _State:
    owner, token = str(account.address), contracts.fee_token
    client = client_contract.client_of(owner)
    balance_calls = (
        *token_calls(token),
        Call(token, ERC20.balance_of, (owner,), contract="fee token"),
    )
    if requested is Method.TWO_STEP:
        symbol, decimals, balance = ai.read(*balance_calls)
        return _State(owner, client, Token(token, symbol, decimals), balance)
    addresses = (
        owner,
        client,
        client_contract.implementation(),
        client_contract.delegate(),
        client_contract.DEPLOYER,
    )
    views = (
        *balance_calls,
        Call(token, ERC20.allowance, (owner, client), contract="fee token"),
        *signatures.calls(token, owner),
    )
    block, *answers = rpc.ask(
        ai.provider,
        [
            ("eth_getBlockByNumber", ["latest", False]),
            *(("eth_getCode", [address, "latest"]) for address in addresses),
            *(view.request for view in views),
        ],
    )
    codes = [as_bytes(rpc.expect(code)) for code in answers[: len(addresses)]]
    decoded = reads.decode_all(views, answers[len(addresses) :], reverts.NO_CONTEXT)
    for answer in decoded[:4]:  # the others are optional functions of tokens
        if isinstance(answer, DtnError):
            raise answer
    symbol, decimals, balance, allowance, *signing = decoded
    return _State(
        account=owner,
        client=client,
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
        # EIP-7685 added this field of the block header in the same upgrade as EIP-7702.
        has_delegations="requestsHash" in block,
    )


def _choose(account: AccountAPI, state: _State, requested: Method | None) -> Method:
    reasons: dict[Method, str] = {}
    for method in (requested,) if requested else _ORDER:
        reason = _why_unavailable(method, account, state)
        if reason is None and method is Method.DELEGATE and not (requested or state.is_delegated):
            reason = "it would change the account's code, which is done only on request"
        if reason is None:
            return method
        reasons[method] = reason
    raise MethodUnavailable({method.value: reason for method, reason in reasons.items()})


def _why_unavailable(method: Method, account: AccountAPI, state: _State) -> str | None:
    """Why a method is not available; None if it is."""
    if method is Method.BATCH:
        if not state.code:
            return "the account is not a smart account"
        return None if batch.can_batch(account) else "the account cannot batch calls"
    if method is Method.DELEGATE:
        return _why_not_delegate(account, state)
    if not (state.has_deployer or (state.has_client and state.has_implementation)):
        return "the chain lacks the deployment proxy that creates client contracts"
    if method is Method.ALLOWANCE:
        return None
    if not signers.signs_raw(account):
        return "the account cannot sign messages"
    if state.code and not state.is_delegated:
        return "the account is a contract, whose signatures the token may reject"
    is_supported = state.signable and (
        state.signable.takes_authorizations
        if method is Method.AUTHORIZATION
        else state.signable.nonce is not None
    )
    return None if is_supported else f"{state.token.symbol} does not support it"


def _why_not_delegate(account: AccountAPI, state: _State) -> str | None:
    if not signers.signs_delegations(account):
        return "the account cannot sign delegations"
    if state.is_delegated:
        return None
    if state.code:
        return "it would replace the account's present code"
    if not state.has_delegations:
        return "the chain does not support EIP-7702"
    if not (state.has_delegate or state.has_deployer):
        return "the chain lacks the deployment proxy that creates the delegate"
    return None


def _preparations(
    method: Method, state: _State, deposit: Amount
) -> Iterator[tuple[str, Transaction]]:
    """The missing contracts and the allowance that a method needs, with descriptions."""
    if method is Method.DELEGATE and not state.has_delegate:
        yield (
            "create the delegate contract, which all accounts of this chain share",
            client_contract.create_delegate(),
        )
    if not method.by_client:
        return
    if not state.has_implementation:
        yield (
            "create the code of client contracts, which all accounts of this chain share",
            client_contract.create_implementation(),
        )
    if not state.has_client:
        yield (
            f"create your client contract {state.client}",
            client_contract.create_client(state.account),
        )
    if method is not Method.ALLOWANCE or state.allowance >= deposit.units:
        return
    if state.allowance:  # tokens such as USDT change an allowance only from zero
        yield "revoke the earlier approval", _approve(state.token.address, state.client, 0)
    approve = _approve(state.token.address, state.client, deposit.units)
    yield f"approve your client contract {deposit}", approve


def _approve(token: str, spender: str, units: int) -> Transaction:
    return contract_call(token, ERC20.approve, spender, units, gas_limit=APPROVE_GAS)
