"""Nonces, gas limits and fees of transactions before they are signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import NoMoneyForGas, SigningDeclined, WrongChain
from ape_dtn.chain.receipts import deadline_of, poll_interval
from ape_dtn.chain.reverts import failure_error
from ape_dtn.types.errors import DtnError
from ape_dtn.types.payload import DYNAMIC_FEE, SET_CODE, Fees, Payload, payload_of
from ape_dtn.types.rpc import Failure, Request, as_int
from ape_dtn.types.translate import Translate

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI
    from ape.api.transactions import TransactionAPI

    from ape_dtn.types.transactions import Signed, Transaction


# At most how many times what the market asks is offered without being told to. An endpoint that
# refuses whatever it is sent would have each attempt pay more than the one before.
MAX_OVER_MARKET = 3


def max_fee_per_gas(base_fee: int, tip: int) -> int:
    """The most that is signed for each unit of gas, in wei: the base fee may double meanwhile."""
    return 2 * base_fee + tip


def price(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    translate: Translate,
    rivals: Sequence[Signed],
    used: int,
) -> list[TransactionAPI]:
    """Ape transactions with nonce, gas and fees, for all or for none.

    They pay more than any of the rivals whose nonces they get.

    Args:
        provider: The connection.
        account: Who signs.
        transactions: The transactions.
        translate: Turns reverts into errors.
        rivals: What was signed before.
        used: How many nonces of the account are known to be used.

    Raises:
        DtnError: One would revert.
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
    """What has to be known before anything is signed, of the chain and of the account."""

    chain_id: int
    nonce: int
    balance: int
    fees: Fees
    confirmations: int

    def outbidding(self, rivals: Iterable[Signed], how_many: int) -> Market:
        """The same with the fees that so many transactions need, from the nonce on.

        Its own, where those would be far above the market.
        """
        theirs = range(self.nonce, self.nonce + how_many)
        fees = self.replacing(each for each in rivals if each.nonce in theirs)
        return self if self.is_far_below(fees) else replace(self, fees=fees)

    def replacing(self, signed: Iterable[Signed]) -> Fees:
        """The fees of what replaces any of these."""
        return self.fees.outbidding(payload_of(each.raw).fees for each in signed if each.raw)

    def is_far_below(self, fees: Fees) -> bool:
        """Whether a block's builder gets far more of these than the market asks now."""
        base_fee = (self.fees.max_fee - self.fees.tip) // 2  # see `max_fee_per_gas`
        return base_fee + fees.tip > MAX_OVER_MARKET * max(base_fee + self.fees.tip, 1)


def read_market(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    translate: Translate,
) -> tuple[Market, list[int | DtnError]]:
    """The market, and each one's gas limit or why it would revert, in one HTTP request."""
    estimates: list[Request] = [
        ("eth_estimateGas", [each.as_call(sender)])
        for each in transactions
        if each.gas_limit is None
    ]
    counts, (block, tip), estimated = rpc.in_parts(
        rpc.ask(
            provider,
            [
                ("eth_chainId", []),
                ("eth_getTransactionCount", [sender, "pending"]),
                ("eth_getBalance", [sender, "latest"]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
                *estimates,
            ],
        ),
        3,
        2,
    )
    chain_id, nonce, balance = (as_int(rpc.expect(answer)) for answer in counts)
    if chain_id != provider.chain_id:
        raise WrongChain(
            provider.chain_id, chain_id, "the RPC serves another one than Ape takes it for"
        )
    value = sum(transaction.value for transaction in transactions)
    if value > balance:  # an estimate would only say that it failed
        raise NoMoneyForGas(sender, value, balance)
    base_fee = as_int(rpc.expect(block).get("baseFeePerGas") or 0)
    tip = 0 if isinstance(tip, Failure) else as_int(tip)
    # Read once: Ape builds its whole configuration anew to find the confirmations.
    confirmations = provider.network.required_confirmations
    fees = Fees(max_fee_per_gas(base_fee, tip), tip)
    market = Market(chain_id, nonce, balance, fees, confirmations)
    answers = iter(estimated)
    limits: list[int | DtnError] = [
        _limit(transaction, next(answers), translate)
        if transaction.gas_limit is None
        else transaction.gas_limit
        for transaction in transactions
    ]
    return market, limits


def read_market_after(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    translate: Translate,
    used: int,
) -> tuple[Market, list[int | DtnError]]:
    """The market, by a node that has counted so many nonces as used.

    Where none has in time, a reorganisation has freed them: the market is as it is told then.
    """
    deadline = deadline_of(provider)
    while True:
        market, limits = read_market(provider, sender, transactions, translate)
        if market.nonce >= used or deadline.is_over:
            return market, limits
        deadline.sleep(poll_interval(provider))


def _limit(transaction: Transaction, estimated: Any, translate: Translate) -> int | DtnError:
    if isinstance(estimated, Failure):
        return failure_error(estimated, translate)
    return transaction.limit_for(as_int(estimated))


def create_transactions(
    provider: ProviderAPI,
    account: AccountAPI,
    market: Market,
    limited: Sequence[tuple[Transaction, int]],
) -> list[TransactionAPI]:
    """Ape transactions, with nonces in their order.

    Raises:
        NoMoneyForGas: The account cannot pay for all.
    """
    sender = str(account.address)
    most = sum(transaction.value + limit * market.fees.max_fee for transaction, limit in limited)
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
    """A transaction of Ape with this payload."""
    from ape_ethereum.transactions import Authorization

    signed = [Authorization(**each) for each in payload.authorizations]
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
    """What the account signs so that it runs another's code (EIP-7702), if the transaction does.

    Raises:
        SigningDeclined: The account did not sign it.
    """
    if transaction.delegate is None:
        return ()
    from click import Abort

    # The chain counts the transaction's own nonce before it looks at the authorization's.
    runs: Any = {"address": transaction.delegate, "chain_id": chain_id, "nonce": nonce + 1}
    signature = None
    with suppress(Abort):  # Ape asks each time, and has nobody to ask without a terminal
        signature = account.sign_authorization(**runs)
    if signature is None:
        raise SigningDeclined(str(account.address), "that it runs the code of another")
    return (
        {
            "chainId": chain_id,
            "address": transaction.delegate,
            "nonce": nonce + 1,
            "yParity": signature.v,
            "r": signature.r,
            "s": signature.s,
        },
    )
