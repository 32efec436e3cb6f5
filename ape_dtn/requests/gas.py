"""Estimates the gas of transactions and its cost in the native currency, before any is signed.

A single transaction is estimated (``eth_estimateGas``). A sequence is simulated together
(``eth_simulateV1``), because the later ones need the state that the earlier ones leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.fees import FEES, to_fees
from ape_dtn.chain.reads import Call
from ape_dtn.network import reverts
from ape_dtn.types.abi import Function
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# The native currency has no contract.
NATIVE_ADDRESS = "0x" + "00" * 20

# The contract of OP stack rollups, such as Base, that computes the fee for posting a transaction to
# their parent chain. Other chains have no contract at this address, and no such fee.
ROLLUP_FEES = "0x420000000000000000000000000000000000000F"
GET_ROLLUP_FEE = Function("getL1Fee(bytes)", "uint256")

# The requests that :func:`to_prices` reads the results of.
PRICES = FEES

# A sequence of transactions, each by the name of its step.
Transactions = Mapping[str, Transaction]


@dataclass(frozen=True)
class Prices:
    """Gas prices as of the latest block, in wei per unit of gas.

    Attributes:
        now: The base fee and the priority fee.
        max_fee: The max fee that would be signed.
        tip: The priority fee, which is part of both.
    """

    now: int
    max_fee: int
    tip: int


@dataclass(frozen=True)
class Gas:
    """The gas of a sequence of transactions, and its cost in the native currency.

    Attributes:
        used: The gas of each transaction: of ``request``, and of the steps before it where a
            session is opened for it.
        limit: The sum of the gas limits that would be signed.
        prices: The gas prices.
        value: The wei that the transactions carry: one for each unit of the callback's gas.
        data_fee: The fee of a rollup for posting them to its parent chain, in wei; 0 elsewhere.
        currency: The native currency.
    """

    used: Mapping[str, int]
    limit: int
    prices: Prices
    value: int
    data_fee: int
    currency: Token

    @property
    def expected(self) -> Amount:
        """The expected cost at current prices, with value and data fee. ``units`` are wei."""
        gas_fee = sum(self.used.values()) * self.prices.now
        return self.currency.units(gas_fee + self.value + self.data_fee)

    @property
    def max_cost(self) -> Amount:
        """The balance that the account needs: all gas limits at the max fee, and the rest."""
        return self.currency.units(self.limit * self.prices.max_fee + self.value + self.data_fee)


@dataclass(frozen=True)
class Outcome:
    """The result of a simulated transaction.

    Attributes:
        used: The gas used.
        returned: The data that the contract returned.
    """

    used: int
    returned: bytes


def native_currency(provider: ProviderAPI) -> Token:
    """The native currency of the chain."""
    ecosystem = provider.network.ecosystem
    return Token(NATIVE_ADDRESS, ecosystem.fee_token_symbol, ecosystem.fee_token_decimals)


def to_prices(chain_id: int, block: Any, tip: Any, history: Any) -> Prices:
    """The gas prices on a chain, from the results of :data:`PRICES`.

    Raises:
        RpcRefused: The endpoint does not return the latest block.
        GasTooExpensive: The price is above the chain's ceiling.
    """
    fees = to_fees(chain_id, block, tip, history)
    base_fee = as_int(block.get("baseFeePerGas") or 0)
    return Prices(base_fee + fees.tip, fees.max_fee, fees.tip)


# The code of accounts for a simulation, by address.
Codes = Mapping[str, bytes]

# The extra gas of a transaction that sets its sender's delegate (EIP-7702): 25,000, of which half
# is refunded where the sender exists.
DELEGATION_GAS = 12_500


def simulation(sender: str, transactions: Transactions, codes: Codes) -> Request:
    """The request that simulates transactions in sequence (``eth_simulateV1``)."""
    block: dict[str, Any] = {
        "calls": [transaction.as_call(sender) for transaction in transactions.values()]
    }
    if codes:
        block["stateOverrides"] = {
            address: {"code": "0x" + code.hex()} for address, code in codes.items()
        }
    return "eth_simulateV1", [{"blockStateCalls": [block]}, "latest"]


def to_outcomes(
    answer: Any, about: reverts.ErrorContext = reverts.NO_CONTEXT
) -> list[Outcome] | DtnError:
    """The outcomes of a :func:`simulation`, or the error of the transaction that reverted."""
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
    """Estimate several sequences of transactions, each by itself, in one HTTP request.

    Args:
        provider: The connection.
        sender: The account that would sign.
        many: The sequences.
        prices: The gas prices.
        about: The context of errors.
        codes: The code of accounts that differs from the chain's.

    Returns:
        The gas of each sequence in its order, or the error: a transaction would revert, or the
        endpoint refuses.
    """
    codes = codes or {}
    requests = [
        request
        for transactions in many
        for request in _requests(provider, sender, transactions, prices, codes)
    ]
    answers = iter(rpc.ask(provider, requests))
    currency = native_currency(provider)
    return [_gas(transactions, prices, currency, answers, about) for transactions in many]


def _requests(
    provider: ProviderAPI, sender: str, transactions: Transactions, prices: Prices, codes: Codes
) -> Iterator[Request]:
    if len(transactions) == 1:
        (only,) = transactions.values()
        yield "eth_estimateGas", [only.as_call(sender)]
    else:
        yield simulation(sender, transactions, codes)
    for transaction in transactions.values():
        unsigned = _unsigned(provider.chain_id, transaction, prices)
        yield Call(ROLLUP_FEES, GET_ROLLUP_FEE, (unsigned,)).request


def _gas(
    transactions: Transactions,
    prices: Prices,
    currency: Token,
    answers: Iterator[Any],
    about: reverts.ErrorContext,
) -> Gas | DtnError:
    """The gas, from the results of :func:`_requests`."""
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
            outcome.used + (DELEGATION_GAS if transaction.delegate else 0)
            for transaction, outcome in zip(transactions.values(), outcomes, strict=True)
        ]
    for fee in fees:
        if isinstance(fee, Failure):
            return reverts.failure_error(fee)
    return Gas(
        used=dict(zip(transactions, used, strict=True)),
        limit=sum(map(Transaction.limit_for, transactions.values(), used)),
        prices=prices,
        value=sum(transaction.value for transaction in transactions.values()),
        data_fee=sum(int.from_bytes(as_bytes(fee), "big") for fee in fees),
        currency=currency,
    )


def _unsigned(chain_id: int, transaction: Transaction, prices: Prices) -> bytes:
    """The transaction as it is signed (EIP-1559), without its nonce and estimated gas limit."""
    import rlp  # type: ignore[import-untyped]

    assert transaction.to is not None
    fields: list[Any] = [
        chain_id,
        0,
        prices.tip,
        prices.max_fee,
        transaction.gas_limit or 0,
        bytes.fromhex(transaction.to[2:]),
        transaction.value,
        transaction.data,
        [],
    ]
    encoded: bytes = rlp.encode(fields)
    return b"\x02" + encoded
