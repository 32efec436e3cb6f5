"""A front-runner cannot take a deposit of an atomic session start, in 200 attempts for each method.

The front-runner of :mod:`tests.sdk.thief` watches every block and the mempool, on a chain that
orders transactions by fee. It does take deposits whose session starts in a second transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils import to_checksum_address

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import FeeToken, Variant, deploy, fund
from ape_dtn.devnet.anvil import free_port
from ape_dtn.errors import DepositTaken, NothingDeposited
from ape_dtn.funding import methods
from ape_dtn.funding.methods import Method
from ape_dtn.network import client_contract, reverts
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.types.rpc import as_int
from benchmarks.chain import connected_to
from tests.cli.shell import CUSTOMER, FOUNDRY, Chain, Shell, is_there
from tests.conftest import Cast

from . import safe as safe_contracts
from .thief import DEPOSIT, SESSION_START, Report, Target, front_runner

ATOMIC = [method for method in Method if method is not Method.TWO_STEP]
STARTS = 200

# How many bare deposits must be taken, and of how many at most: the front-runner misses a deposit
# whose start gets into the same block.
THEFTS = 4
MAX_BARE_STARTS = 60

# Seconds between blocks.
BLOCK_TIME = 0.1
SLOW_BLOCK_TIME = 0.25

# Number of Safes among the payers of the method `batch`; the others delegate to a batch executor.
SAFES = 1

# Token units of each customer on each network, and wei of each attacker.
TOKEN_BALANCE = 10_000_000_000
ETH_BALANCE = hex(10**24)

KEYS = ["0x" + bytes([number]).rjust(32, b"\7").hex() for number in range(1, 5)]
ATTACKERS = [str(Account.from_key(key).address) for key in KEYS]


@dataclass(frozen=True)
class AttackedChain:
    """A chain with both networks and a public mempool."""

    chain: Chain
    shell: Shell
    routers: Mapping[Variant, str]
    targets: Sequence[Target]


@pytest.fixture(scope="module")
def attacked_chain(
    tmp_path_factory: pytest.TempPathFactory, accounts: Any
) -> Iterator[AttackedChain]:
    """A separate Anvil, which mines each transaction at once outside of :func:`mempool`."""
    shell = Shell(tmp_path_factory.mktemp("thief"))
    port = free_port()
    chain = Chain(f"http://127.0.0.1:{port}")
    with shell.running("anvil", "--silent", "--order", "fees", "--port", str(port)) as anvil:
        anvil.until(lambda: is_there(chain))
        for address in ATTACKERS:
            chain.rpc("anvil_setBalance", address, ETH_BALANCE)
        with connected_to(chain.url) as provider:
            owner, worker, *customers = list(accounts)
            routers, targets = {}, []
            for variant in Variant:
                network = deploy(owner, worker, variant, FeeToken.USDC)
                for customer in customers:
                    fund(provider, owner, network.token, str(customer.address), TOKEN_BALANCE)
                routers[variant] = network.ai.router
                fee_target = network.ai.contracts().fee_target
                addresses = (network.ai.router, network.token, fee_target)
                targets.append(Target(*(address.lower() for address in addresses)))
            for creation in (
                client_contract.create_implementation(),
                client_contract.create_delegate(),
            ):
                transactions.send(provider, owner, creation, reverts.NO_CONTEXT)
        settings = shell.having(APE_FOUNDRY_HOST=chain.url, APE_DTN_NETWORK=FOUNDRY)
        yield AttackedChain(chain, settings, routers, targets)


@pytest.fixture
def networks_on_chain(
    attacked_chain: AttackedChain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[Variant, DtnAi]]:
    """Both networks, on a chain that the package takes for a public one. Reverted after the
    test."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(methods, "is_local", lambda _: False)
    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)
    snapshot = attacked_chain.chain.rpc("evm_snapshot")
    with connected_to(attacked_chain.chain.url) as provider:
        yield {
            variant: DtnAi(router, provider) for variant, router in attacked_chain.routers.items()
        }
    attacked_chain.chain.rpc("anvil_dropAllTransactions")
    attacked_chain.chain.rpc("evm_revert", snapshot)


@contextmanager
def mempool(chain: Chain, seconds: float) -> Iterator[None]:
    """Mines a block every ``seconds``, so that transactions are pending until then."""
    ended = threading.Event()

    def mine() -> None:
        while not ended.wait(seconds):
            chain.rpc("evm_mine")

    miner = threading.Thread(target=mine)
    chain.rpc("evm_setAutomine", False)
    miner.start()
    try:
        yield
    finally:
        ended.set()
        miner.join()
        chain.rpc("evm_setAutomine", True)
        chain.rpc("evm_mine")


@pytest.fixture(params=ATOMIC, ids=lambda method: method.value)
def method(request: pytest.FixtureRequest) -> Method:
    method: Method = request.param
    return method


@pytest.fixture
def payers(
    attacked_chain: AttackedChain,
    networks_on_chain: dict[Variant, DtnAi],
    method: Method,
    accounts: Any,
) -> Iterator[list[Any]]:
    """Eight accounts that can use the method, with tokens of both networks."""
    owner, _, *customers = accounts
    if method is not Method.BATCH:
        yield customers
        return
    provider = networks_on_chain[Variant.LIVE].provider
    safe_contracts.create_canonical(provider, owner, "libraries/MultiSendCallOnly")
    safes = [
        safe_contracts.create_safe(provider, owner, [customer], 1) for customer in customers[:SAFES]
    ]
    for target, safe in product(attacked_chain.targets, safes):
        fund(provider, owner, to_checksum_address(target.token), safe, TOKEN_BALANCE)
    executor = transactions.create(provider, owner, safe_contracts.batching_code())
    for customer in customers[SAFES:]:
        safe_contracts.run_as(provider, customer, executor)
    with ExitStack() as stack:
        yield [stack.enter_context(safe_contracts.loaded(safe)) for safe in safes] + customers[
            SAFES:
        ]


def test_none_of_200_atomic_deposits_is_taken(
    attacked_chain: AttackedChain,
    networks_on_chain: dict[Variant, DtnAi],
    method: Method,
    payers: list[Any],
    record_property: Callable[[str, object], None],
) -> None:
    ledgers = [Ledger(networks_on_chain[variant], payers) for variant in Variant]

    def start_all(payer_index: int) -> list[tuple[Ledger, DtnSession, int]]:
        """Starts one payer's sessions, on both networks in turn, all with different deposits."""
        started_sessions = []
        for round_number in range(STARTS // len(payers)):
            ledger = ledgers[(payer_index + round_number) % 2]
            units = 1_000_000 + round_number * len(payers) + payer_index
            deposit = ledger.token.units(units)
            session = DtnSession.start(deposit, payers[payer_index], ledger.ai, method=method)
            started_sessions.append((ledger, session, units))
        return started_sessions

    with (
        front_runner(attacked_chain.chain.url, attacked_chain.targets, KEYS) as report,
        mempool(attacked_chain.chain, BLOCK_TIME),
        ThreadPoolExecutor(len(payers)) as threads,
    ):
        started = [
            session for batch in threads.map(start_all, range(len(payers))) for session in batch
        ]

    assert len(started) == STARTS
    for ledger in ledgers:
        ledger.check([(session, units) for used, session, units in started if used is ledger])
    contest = Contest.of(attacked_chain.chain, report, [session for _, session, _ in started])
    print(f"{method.value}: {contest}")
    for name, number in vars(contest).items():
        record_property(name, number)
    assert contest.attacked > 0
    assert contest.before > 0
    assert contest.after > 0


@pytest.mark.parametrize("variant", Variant, ids=lambda variant: variant.value.lower())
def test_a_taken_bare_deposit_is_reported(
    attacked_chain: AttackedChain,
    networks_on_chain: dict[Variant, DtnAi],
    variant: Variant,
    cast: Cast,
    record_property: Callable[[str, object], None],
) -> None:
    ai, customer = networks_on_chain[variant], cast.customer
    ledger = Ledger(ai, [customer])
    kept: list[DtnSession] = []
    taken: list[DepositTaken] = []

    with (
        front_runner(attacked_chain.chain.url, attacked_chain.targets, KEYS) as report,
        mempool(attacked_chain.chain, SLOW_BLOCK_TIME),
    ):
        while len(taken) < THEFTS and len(taken) + len(kept) < MAX_BARE_STARTS:
            try:
                kept.append(DtnSession.start("25", customer, ai, unsafe_two_step=True))
            except DepositTaken as err:
                taken.append(err)

    print(f"two-step: {len(taken)} taken, {len(kept)} not")
    record_property("taken", len(taken))
    record_property("kept", len(kept))
    assert len(taken) == THEFTS
    stolen = ledger.stolen()
    assert len(stolen) == len(taken)
    assert {error.taken_in for error in taken} == set(stolen)
    for error in taken:
        theft = stolen[str(error.taken_in)]
        assert (theft["owner"], theft["balance"]) == (error.taken_by, 25_000_000)
        assert (str(error.deposit), error.session_id) == ("25.00 USDC", None)
        assert error.transaction in report.attacked(DEPOSIT)
        assert str(error.taken_by) in error.message
        assert str(error.taken_in) in error.message
    assert [str(session.balance) for session in kept] == ["25.00 USDC"] * len(kept)


def test_the_command_line_reports_a_taken_deposit_and_exits_with_4(
    attacked_chain: AttackedChain, networks_on_chain: dict[Variant, DtnAi]
) -> None:
    router = attacked_chain.routers[Variant.LIVE]
    ledger = Ledger(networks_on_chain[Variant.LIVE], [])
    command = ("session", "start", "25", "--unsafe-two-step", "--router", router)
    signed = ("--account", CUSTOMER, "-y", "--json")

    with (
        front_runner(attacked_chain.chain.url, attacked_chain.targets, KEYS),
        mempool(attacked_chain.chain, SLOW_BLOCK_TIME),
    ):
        done = next(
            done
            for done in (
                attacked_chain.shell.dtn(*command, *signed) for _ in range(MAX_BARE_STARTS)
            )
            if done.code != 0  # the front-runner was too slow for the others
        )

    assert done.code == 4, done.err
    ((theft, session),) = ledger.stolen().items()
    assert done.error["code"] == "deposit_taken"
    assert (done.error["taken_by"], done.error["taken_in"]) == (session["owner"], theft)
    assert session["balance"] == 25_000_000
    message = f"was taken by {session['owner']} in transaction {theft}"
    assert message in " ".join(done.err.split())
    assert "--unsafe-two-step" in done.err


class Ledger:
    """Balances and sessions on a network, compared with those at its creation."""

    def __init__(self, ai: DtnAi, payers: Sequence[Any]) -> None:
        self.ai, self.contracts, self.token = ai, ai.contracts(), ai.token()
        self.payers = [str(payer.address) for payer in payers]
        self.block = as_int(rpc.result(ai.provider, "eth_blockNumber", [])) + 1
        self.held = self.holdings()

    def holdings(self) -> dict[str, int]:
        """The balances of all possible holders, in token units."""
        clients = [client_contract.client_of(payer) for payer in self.payers]
        holders = [self.contracts.fee_target, *self.payers, *clients, *ATTACKERS]
        fee_token = self.contracts.fee_token
        calls = [Call(fee_token, ERC20.balance_of, (holder,)) for holder in holders]
        return dict(zip(holders, self.ai.read(*calls), strict=True))

    def started(self) -> list[tuple[str, dict[str, Any]]]:
        """The sessions that were started since, as transaction hashes and event fields."""
        provider, started = self.ai.provider, SessionManager.session_started
        events = reads.events(
            provider, self.contracts.session_manager, started, from_block=self.block
        )
        return [(log.transaction, fields) for log, fields in events]

    def stolen(self) -> dict[str, dict[str, Any]]:
        """The sessions of the front-runner, by transaction hash."""
        return {
            transaction: fields
            for transaction, fields in self.started()
            if fields["owner"] in ATTACKERS
        }

    def check(self, started: Sequence[tuple[DtnSession, int]]) -> None:
        """Asserts that exactly these sessions exist, and that all other balances are unchanged."""
        provider, manager = self.ai.provider, self.contracts.session_manager
        expected = {session.id: (owner_of(session), units) for session, units in started}
        events = {
            fields["sessionId"]: (fields["owner"], fields["balance"])
            for _, fields in self.started()
        }
        view = SessionManager.get_session_by_id
        calls = [Call(manager, view, (session_id,)) for session_id in expected]
        stored = dict(zip(expected, map(tuple, reads.read(provider, *calls)), strict=True))
        assert events == stored == expected

        spent = dict.fromkeys(self.held, 0)
        for session, units in started:
            spent[str(session.account.address)] -= units  # type: ignore[union-attr]
            spent[self.contracts.fee_target] += units
        after = self.holdings()
        assert {holder: after[holder] - self.held[holder] for holder in after} == spent
        assert not any(after[attacker] for attacker in ATTACKERS)

        view = SessionManager.get_user_session_ids
        owned = [Call(manager, view, (attacker,)) for attacker in ATTACKERS]
        assert not any(reads.read(provider, *owned))
        with pytest.raises(NothingDeposited):
            self.ai.read_one(Call(self.ai.router, Router.start_user_session))


def owner_of(session: DtnSession) -> str:
    """The expected owner of a session, by its method."""
    address = str(session.account.address)  # type: ignore[union-attr]
    assert session.method is not None
    return client_contract.client_of(address) if session.method.by_client else address


@dataclass
class Contest:
    """How close the front-runner came.

    Attributes:
        starts: Number of started sessions.
        attacked: Number of starts that it attacked while they were pending.
        before: Number of starts with an earlier claim in the same block.
        after: Number of starts with a later claim in the same block.
        claims: Number of its claims.
        blocks: Number of blocks that it searched.
        open_deposits: Number of open deposits that it found.
    """

    starts: int
    attacked: int
    before: int
    after: int
    claims: int
    blocks: int
    open_deposits: int

    @classmethod
    def of(cls, chain: Chain, report: Report, sessions: Sequence[DtnSession]) -> Contest:
        starts = {session.receipt.transaction: session.receipt.block_number for session in sessions}
        claims = {claim for attack in report.attacks for claim in attack.claims}
        before = after = 0
        for number in set(starts.values()):
            block = chain.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]
            claimed_at = [index for index, sent in enumerate(block) if sent in claims]
            for index in (index for index, sent in enumerate(block) if sent in starts):
                before += claimed_at[0] < index if claimed_at else 0
                after += claimed_at[-1] > index if claimed_at else 0
        return cls(
            starts=len(starts),
            attacked=len(starts.keys() & report.attacked(SESSION_START)),
            before=before,
            after=after,
            claims=len(claims),
            blocks=report.blocks,
            open_deposits=report.open_deposits,
        )
