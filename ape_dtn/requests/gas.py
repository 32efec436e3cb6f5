"""What transactions would cost in the chain's coin, as the chain itself says before any is signed.

One transaction is estimated; several that follow one another are simulated together, since the
later ones run on a state that does not exist yet. Where the endpoint does neither, it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.fees import max_fee_per_gas
from ape_dtn.chain.reads import Call
from ape_dtn.network import reverts
from ape_dtn.types.abi import Function
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# The coin is no contract.
COIN_ADDRESS = "0x" + "00" * 20

# What rollups of the OP stack, as Base, take besides for posting a transaction to their parent
# chain. Elsewhere there is no contract at this address, and nothing to pay.
ROLLUP_FEES = "0x420000000000000000000000000000000000000F"
GET_ROLLUP_FEE = Function("getL1Fee(bytes)", "uint256")

# What has to be asked for :func:`to_prices`.
PRICES: tuple[Request, ...] = (
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_maxPriorityFeePerGas", []),
)

# Transactions that follow one another, by what they are called.
Transactions = Mapping[str, Transaction]


@dataclass(frozen=True)
class Prices:
    """What gas costs in the latest block.

    Attributes:
        now: Wei for each unit of gas: the block's base fee and the tip.
        most: Wei for each unit of gas that would be signed as the most.
        tip: The part of either that is the tip.
    """

    now: int
    most: int
    tip: int


@dataclass(frozen=True)
class Gas:
    """What transactions use of gas, and what they cost in the chain's coin.

    Attributes:
        used: What each transaction uses: ``request``, and where a session is yet to be started,
            what comes before it.
        limit: What they may use together, as it would be signed.
        prices: What gas costs.
        value: What goes with them, in wei: the router keeps as many as the callback has gas.
        data_fee: What a rollup takes besides for posting them to its parent chain, in wei, at
            present; 0 where that is not charged.
        coin: The chain's coin.
    """

    used: Mapping[str, int]
    limit: int
    prices: Prices
    value: int
    data_fee: int
    coin: Token

    @property
    def expected(self) -> Amount:
        """What they cost at present prices, all included. ``units`` are wei."""
        gas_fee = sum(self.used.values()) * self.prices.now
        return self.coin.units(gas_fee + self.value + self.data_fee)

    @property
    def max_cost(self) -> Amount:
        """What the account has to have for them: all gas that is allowed, at the most."""
        return self.coin.units(self.limit * self.prices.most + self.value + self.data_fee)

    def as_dict(self) -> dict[str, Any]:
        """The gas as plain data."""
        return {
            "used": dict(self.used),
            "limit": self.limit,
            "price": str(self.prices.now),
            "most_price": str(self.prices.most),
            "callback": self.coin.units(self.value).as_dict(),
            "data_fee": self.coin.units(self.data_fee).as_dict(),
            "expected": self.expected.as_dict(),
            "max_cost": self.max_cost.as_dict(),
        }


@dataclass(frozen=True)
class Outcome:
    """What a simulated transaction did.

    Attributes:
        used: The gas that it used.
        returned: What the contract returned.
    """

    used: int
    returned: bytes


def native_currency(provider: ProviderAPI) -> Token:
    """The chain's coin."""
    ecosystem = provider.network.ecosystem
    return Token(COIN_ADDRESS, ecosystem.fee_token_symbol, ecosystem.fee_token_decimals)


def to_prices(block: Any, tip: Any) -> Prices:
    """The prices, of the answers to :data:`PRICES`, as they would be signed.

    Raises:
        RpcRefused: The endpoint does not give the latest block.
    """
    base_fee = as_int(rpc.expect(block).get("baseFeePerGas") or 0)
    tip = 0 if isinstance(tip, Failure) else as_int(tip)
    return Prices(base_fee + tip, max_fee_per_gas(base_fee, tip), tip)


# The code of accounts that they would have by then.
Codes = Mapping[str, bytes]

# What a transaction uses more that lets its sender run another's code (EIP-7702): half of what is
# taken for it at first is given back where the sender exists.
DELEGATION_GAS = 12_500


def simulation(sender: str, transactions: Transactions, codes: Codes) -> Request:
    """Runs transactions one upon the other, and forgets them (``eth_simulateV1``)."""
    block: dict[str, Any] = {"calls": [each.as_call(sender) for each in transactions.values()]}
    if codes:
        given = {address: {"code": "0x" + code.hex()} for address, code in codes.items()}
        block["stateOverrides"] = given
    return "eth_simulateV1", [{"blockStateCalls": [block]}, "latest"]


def to_outcomes(
    answer: Any, about: reverts.ErrorContext = reverts.NO_CONTEXT
) -> list[Outcome] | DtnError:
    """What each transaction of a :func:`simulation` did, or why one of them did not succeed."""
    if isinstance(answer, Failure):
        return reverts.failure_error(answer, about)
    (block,) = answer
    outcomes = []
    for call in block["calls"]:
        returned = as_bytes(call["returnData"])
        if as_int(call["status"]) != 1:
            message = str((call.get("error") or {}).get("message", ""))
            return reverts.to_error(reverts.decode(returned, message), about)
        outcomes.append(Outcome(as_int(call["gasUsed"]), returned))
    return outcomes


def estimate(
    provider: ProviderAPI,
    sender: str,
    many: Sequence[Transactions],
    prices: Prices,
    about: reverts.ErrorContext = reverts.NO_CONTEXT,
    codes: Codes | None = None,
) -> list[Gas | DtnError]:
    """What each of many would cost by itself, in one HTTP request for all.

    Args:
        provider: The connection.
        sender: Who would sign.
        many: The transactions; several that belong together run one upon the other.
        prices: What gas costs.
        about: What they are about.
        codes: The code that accounts would have by then, beside what they have now.

    Returns:
        For each, in its place, the gas, or why it is not known: it would revert, or the endpoint
        refuses to tell.
    """
    codes = codes or {}
    requests = [
        request for each in many for request in _requests(provider, sender, each, prices, codes)
    ]
    answers = iter(rpc.ask(provider, requests))
    unit = native_currency(provider)
    return [_gas(each, prices, unit, answers, about) for each in many]


def _requests(
    provider: ProviderAPI, sender: str, transactions: Transactions, prices: Prices, codes: Codes
) -> Iterator[Request]:
    if len(transactions) == 1:
        (only,) = transactions.values()
        yield "eth_estimateGas", [only.as_call(sender)]
    else:
        yield simulation(sender, transactions, codes)
    for each in transactions.values():
        unsigned = _unsigned(provider.chain_id, each, prices)
        yield Call(ROLLUP_FEES, GET_ROLLUP_FEE, (unsigned,)).request


def _gas(
    transactions: Transactions,
    prices: Prices,
    unit: Token,
    answers: Iterator[Any],
    about: reverts.ErrorContext,
) -> Gas | DtnError:
    """The gas, of the answers to :func:`_requests`."""
    answer = next(answers)
    fees = [next(answers) for _ in transactions]
    if isinstance(answer, Failure):
        return reverts.failure_error(answer, about)
    if len(transactions) == 1:
        used = [as_int(answer)]
    else:
        outcomes = to_outcomes(answer, about)
        if isinstance(outcomes, DtnError):
            return outcomes
        used = [
            outcome.used + (DELEGATION_GAS if each.delegate else 0)
            for each, outcome in zip(transactions.values(), outcomes, strict=True)
        ]
    for fee in fees:
        if isinstance(fee, Failure):
            return reverts.failure_error(fee)
    return Gas(
        used=dict(zip(transactions, used, strict=True)),
        limit=sum(map(Transaction.limit_for, transactions.values(), used)),
        prices=prices,
        value=sum(each.value for each in transactions.values()),
        data_fee=sum(int.from_bytes(as_bytes(fee), "big") for fee in fees),
        coin=unit,
    )


def _unsigned(chain_id: int, transaction: Transaction, prices: Prices) -> bytes:
    """The transaction as it is signed (EIP-1559), but for the nonce and the limit it will have."""
    import rlp  # type: ignore[import-untyped]

    assert transaction.to is not None
    fields: list[Any] = [
        chain_id,
        0,
        prices.tip,
        prices.most,
        transaction.gas_limit or 0,
        bytes.fromhex(transaction.to[2:]),
        transaction.value,
        transaction.data,
        [],
    ]
    encoded: bytes = rlp.encode(fields)
    return b"\x02" + encoded
