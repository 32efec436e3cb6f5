"""Nonces, gas limits and fees of transactions before they are signed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc, views
from ape_dtn.chain.ceilings import TRANSACTION_GAS, gas_ceiling, of_chain
from ape_dtn.chain.errors import (
    GasTooExpensive,
    NoMoneyForGas,
    RpcRefused,
    SigningDeclined,
    TransactionTooLarge,
    WrongChain,
)
from ape_dtn.chain.receipts import deadline_of, poll_interval
from ape_dtn.chain.reverts import failure_error
from ape_dtn.chain.signatures import declines
from ape_dtn.types.errors import DtnError
from ape_dtn.types.payload import DYNAMIC_FEE, SET_CODE, Fees, Payload, payload_of
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import Failure, Request, as_int

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI
    from ape.api.transactions import TransactionAPI

    from ape_dtn.types.transactions import Signed, Transaction


# The most that is offered, as a multiple of the market price. An endpoint that rejects every
# transaction would otherwise raise the price with each attempt.
MAX_OVER_MARKET = 3


# The requests whose answers fees are computed from.
FEES: tuple[Request, ...] = (
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_maxPriorityFeePerGas", []),
    ("eth_feeHistory", ["0x5", "latest", [50]]),
)


def to_fees(chain_id: int, block: Any, tip: Any, history: Any) -> Fees:
    """Compute the fees to sign from the answers to :data:`FEES`, within the chain's ceilings.

    Raises:
        RpcRefused: The endpoint does not give the latest block.
        GasTooExpensive: The base fee is above the ceiling.
    """
    ceilings = of_chain(chain_id)
    base_fee = as_int(rpc.expect(block).get("baseFeePerGas") or 0)
    wanted = 0 if isinstance(tip, Failure) else as_int(tip)
    paid = [] if isinstance(history, Failure) else _rewards(history)
    if paid:  # believe a higher tip only up to a multiple of what others pay
        usual = sorted(paid)[len(paid) // 2]
        wanted = max(usual, min(wanted, MAX_OVER_MARKET * usual))
    tip = min(max(wanted, 1), ceilings.tip)
    if base_fee + tip > ceilings.fee:
        raise GasTooExpensive("a unit of gas", base_fee + tip, ceilings.fee, chain_id)
    return Fees(min(max_fee_per_gas(base_fee, tip), ceilings.fee), tip)


def _rewards(history: Any) -> list[int]:
    """The tips of the median transactions of the blocks that are not empty."""
    rewards = [as_int(paid[0]) for paid in history.get("reward") or [] if paid]
    return [reward for reward in rewards if reward]


def max_fee_per_gas(base_fee: int, tip: int) -> int:
    """The max fee per gas to sign, in wei: the base fee may double before inclusion."""
    return 2 * base_fee + tip


def price(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    translate: Translate,
    rivals: Sequence[Signed],
    used: int,
) -> list[TransactionAPI]:
    """Create Ape transactions with nonces, gas limits and fees.

    They outbid the rivals that have the same nonces.

    Args:
        provider: The connection.
        account: The signer.
        transactions: The transactions.
        translate: Turns reverts into errors.
        rivals: Earlier signed transactions.
        used: The number of the account's nonces that are known to be used.

    Raises:
        DtnError: One of them would revert.
        NoMoneyForGas: The account cannot pay for all.
    """
    sender = str(account.address)
    market, limits = read_market_after(provider, sender, transactions, translate, used)
    for limit in limits:
        if isinstance(limit, DtnError):
            raise limit
    limited = [
        (transaction, limit)
        for transaction, limit in zip(transactions, limits, strict=True)
        if isinstance(limit, int)
    ]
    return create_transactions(provider, account, market.outbidding(rivals, len(limited)), limited)


@dataclass(frozen=True)
class Market:
    """The state of the chain and of the account that signing needs."""

    chain_id: int
    nonce: int
    balance: int
    fees: Fees
    confirmations: int
    block: int = 0
    gas_ceiling: int | None = None

    def outbidding(self, rivals: Iterable[Signed], how_many: int) -> Market:
        """Return the market with fees that outbid rivals with the next ``how_many`` nonces.

        Keeps its own fees where the higher ones would be far above the market.
        """
        theirs = range(self.nonce, self.nonce + how_many)
        fees = self.replacing(rival for rival in rivals if rival.nonce in theirs)
        return self if self.is_far_below(fees) else replace(self, fees=fees)

    def replacing(self, signed: Iterable[Signed]) -> Fees:
        """The fees of a transaction that replaces any of these."""
        return self.fees.outbidding(payload_of(txn.raw).fees for txn in signed if txn.raw)

    def is_far_below(self, fees: Fees) -> bool:
        """Whether these fees pay far more than the market price."""
        base_fee = (self.fees.max_fee - self.fees.tip) // 2  # see `max_fee_per_gas`
        return base_fee + fees.tip > MAX_OVER_MARKET * max(base_fee + self.fees.tip, 1)


def read_market(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    translate: Translate,
) -> tuple[Market, list[int | DtnError]]:
    """Read the market, and gas limits or the errors of transactions, in one HTTP request."""
    estimates: list[Request] = [
        ("eth_estimateGas", [transaction.as_call(sender)])
        for transaction in transactions
        if transaction.gas_limit is None
    ]
    counts, (block, tip, history), estimated = rpc.in_parts(
        rpc.ask(
            provider,
            [
                ("eth_chainId", []),
                ("eth_getTransactionCount", [sender, "pending"]),
                ("eth_getBalance", [sender, "latest"]),
                *FEES,
                *estimates,
            ],
            as_one=True,
        ),
        3,
        len(FEES),
    )
    chain_id, nonce, balance = (as_int(rpc.expect(answer)) for answer in counts)
    if chain_id != provider.chain_id:
        raise WrongChain(
            provider.chain_id,
            chain_id,
            "the endpoint serves another chain than the selected network",
        )
    value = sum(transaction.value for transaction in transactions)
    if value > balance:  # the estimate's error would not say so
        raise NoMoneyForGas(sender, value, balance)
    fees = to_fees(chain_id, block, tip, history)
    number, block_limit = as_int(block["number"]), as_int(block.get("gasLimit") or 0) or None
    ceiling = gas_ceiling(provider, chain_id, block_limit)
    # Read this once: Ape rebuilds its whole configuration to find it.
    confirmations = provider.network.required_confirmations
    market = Market(chain_id, nonce, balance, fees, confirmations, number, ceiling)
    answers = iter(estimated)
    limits: list[int | DtnError] = [
        _limit(transaction, answers, translate, ceiling) for transaction in transactions
    ]
    return market, limits


def read_market_after(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    translate: Translate,
    used: int,
) -> tuple[Market, list[int | DtnError]]:
    """Read the market from a node that has counted ``used`` nonces as used.

    If none has until the deadline, a reorganisation freed the nonces, and the view is accepted.
    """
    deadline = deadline_of(provider)
    while True:
        market, limits = read_market(provider, sender, transactions, translate)
        try:
            views.check(provider, market.block, "eth_estimateGas")
            if market.nonce >= used or deadline.is_over:
                return market, limits
        except RpcRefused:
            if deadline.is_over:
                raise
        deadline.sleep(poll_interval(provider))


def _limit(
    transaction: Transaction, estimates: Iterator[Any], translate: Translate, ceiling: int | None
) -> int | DtnError:
    """The gas limit of a transaction, with as much of the margin as the ceiling allows."""
    used = transaction.gas_limit
    if used is None:
        estimated = next(estimates)
        if isinstance(estimated, Failure):
            return failure_error(estimated, translate)
        used = as_int(estimated) + transaction.extra_gas
        limit = transaction.limit_for(as_int(estimated))
    else:
        limit = used
    if ceiling is not None and used > ceiling:
        return TransactionTooLarge(used, ceiling, len(transaction.data))
    if used <= TRANSACTION_GAS < limit:  # the chain may have EIP-7825
        limit = TRANSACTION_GAS
    return limit if ceiling is None else min(limit, ceiling)


def create_transactions(
    provider: ProviderAPI,
    account: AccountAPI,
    market: Market,
    limited: Sequence[tuple[Transaction, int]],
) -> list[TransactionAPI]:
    """Create Ape transactions with consecutive nonces.

    Raises:
        NoMoneyForGas: The account cannot pay for all.
    """
    sender = str(account.address)
    gas_cost = sum(limit * market.fees.max_fee for _, limit in limited)
    ceiling = of_chain(market.chain_id).cost
    if gas_cost > ceiling:
        raise GasTooExpensive("the gas of this operation", gas_cost, ceiling, market.chain_id)
    most = gas_cost + sum(transaction.value for transaction, _ in limited)
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    return [
        create_transaction(
            provider,
            market,
            sender,
            nonce,
            Payload(
                kind=DYNAMIC_FEE if transaction.delegate is None else SET_CODE,
                fees=market.fees,
                gas_limit=limit,
                to=transaction.to,
                value=transaction.value,
                data=transaction.data,
                authorizations=_authorizations(account, transaction, market.chain_id, nonce),
            ),
        )
        for nonce, (transaction, limit) in enumerate(limited, market.nonce)
    ]


def create_transaction(
    provider: ProviderAPI, market: Market, sender: str, nonce: int, payload: Payload
) -> TransactionAPI:
    """Create an Ape transaction with this payload."""
    from ape_ethereum.transactions import Authorization

    signed = [Authorization(**authorization) for authorization in payload.authorizations]
    return provider.network.ecosystem.create_transaction(
        type=payload.kind,
        chain_id=market.chain_id,
        sender=sender,
        **({"receiver": payload.to} if payload.to else {}),
        **({"authorizations": signed} if signed else {}),
        nonce=nonce,
        gas_limit=payload.gas_limit,
        max_fee=payload.fees.max_fee,
        max_priority_fee=payload.fees.tip,
        value=payload.value,
        data=payload.data,
        required_confirmations=market.confirmations,
    )


def _authorizations(
    account: AccountAPI, transaction: Transaction, chain_id: int, nonce: int
) -> tuple[dict[str, Any], ...]:
    """Sign the delegation of a transaction that sets one (EIP-7702).

    Raises:
        SigningDeclined: The account did not sign it.
    """
    if transaction.delegate is None:
        return ()
    # The transaction's nonce is counted before the authorization's is checked.
    runs: Any = {"address": transaction.delegate, "chain_id": chain_id, "nonce": nonce + 1}
    what = "the delegation to a contract (EIP-7702)"
    with declines(account, what):
        signature = account.sign_authorization(**runs)
    if signature is None:
        raise SigningDeclined(str(account.address), what)
    return (
        {
            "chainId": chain_id,
            "address": transaction.delegate,
            "nonce": nonce + 1,
            "yParity": signature.v - 27 if signature.v >= 27 else signature.v,
            "r": signature.r,
            "s": signature.s,
        },
    )
