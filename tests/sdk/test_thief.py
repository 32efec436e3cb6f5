"""Nobody can take a deposit that is started in one transaction: a thief tries 200 times each way.

The thief of :mod:`tests.sdk.thief` watches every block and the mempool, and what is in a block is
ordered by fee. A deposit and a start in two transactions it takes.
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

from . import safe as real
from .thief import BEGINNING, DEPOSIT, Report, Target, thief

ATOMIC = [each for each in Method if each is not Method.TWO_STEP]
STARTS = 200

# How many bare deposits have to be taken, and of how many at most: with bad luck, both transactions
# come to the end of the same block before the thief could do anything.
THEFTS = 4
BARE_STARTS = 60

# Seconds from one block to the next.
BLOCK_TIME = 0.1
SLOW_BLOCK_TIME = 0.25

# How many of the payers are Safes; the others that batch run an executor (EIP-7702).
SAFES = 1

# Each customer's, on each network.
FUNDS = 10_000_000_000
COIN = hex(10**24)

KEYS = ["0x" + bytes([each]).rjust(32, b"\7").hex() for each in range(1, 5)]
THIEVES = [str(Account.from_key(key).address) for key in KEYS]


@dataclass(frozen=True)
class Place:
    """A chain with both networks, whose mempool anybody can look into."""

    chain: Chain
    shell: Shell
    routers: Mapping[Variant, str]
    targets: Sequence[Target]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, accounts: Any) -> Iterator[Place]:
    """An Anvil of its own. As long as nobody wants a mempool, it mines whatever it is sent."""
    shell = Shell(tmp_path_factory.mktemp("thief"))
    port = free_port()
    chain = Chain(f"http://127.0.0.1:{port}")
    with shell.running("anvil", "--silent", "--order", "fees", "--port", str(port)) as anvil:
        anvil.until(lambda: is_there(chain))
        for address in THIEVES:
            chain.rpc("anvil_setBalance", address, COIN)
        with connected_to(chain.url) as provider:
            owner, worker, *customers = list(accounts)
            routers, targets = {}, []
            for variant in Variant:
                network = deploy(owner, worker, variant, FeeToken.USDC)
                for customer in customers:
                    fund(provider, owner, network.token, str(customer.address), FUNDS)
                routers[variant] = network.ai.router
                fee_target = network.ai.contracts().fee_target
                found = (network.ai.router, network.token, fee_target)
                targets.append(Target(*(address.lower() for address in found)))
            for creation in (
                client_contract.create_implementation(),
                client_contract.create_delegate(),
            ):
                transactions.send(provider, owner, creation, reverts.NO_CONTEXT)
        settings = shell.having(APE_FOUNDRY_HOST=chain.url, APE_DTN_NETWORK=FOUNDRY)
        yield Place(chain, settings, routers, targets)


@pytest.fixture
def networks_here(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[Variant, DtnAi]]:
    """Both networks as they were deployed, on a chain that is taken for a public one."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(methods, "is_local", lambda _: False)
    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)
    snapshot = place.chain.rpc("evm_snapshot")
    with connected_to(place.chain.url) as provider:
        yield {variant: DtnAi(router, provider) for variant, router in place.routers.items()}
    place.chain.rpc("anvil_dropAllTransactions")
    place.chain.rpc("evm_revert", snapshot)


@contextmanager
def mempool(chain: Chain, seconds: float) -> Iterator[None]:
    """Transactions wait for the next block, which comes after so many seconds."""
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
    found: Method = request.param
    return found


@pytest.fixture
def payers(
    place: Place, networks_here: dict[Variant, DtnAi], method: Method, accounts: Any
) -> Iterator[list[Any]]:
    """Eight accounts that can start sessions in the way that is shown, with tokens of both."""
    owner, _, *customers = accounts
    if method is not Method.BATCH:
        yield customers
        return
    provider = networks_here[Variant.LIVE].provider
    real.create_canonical(provider, owner, "libraries/MultiSendCallOnly")
    safes = [real.create_safe(provider, owner, [each], 1) for each in customers[:SAFES]]
    for target, safe in product(place.targets, safes):
        fund(provider, owner, to_checksum_address(target.token), safe, FUNDS)
    executor = transactions.create(provider, owner, real.batching_code())
    for customer in customers[SAFES:]:
        real.run_as(provider, customer, executor)
    with ExitStack() as stack:
        yield [stack.enter_context(real.loaded(safe)) for safe in safes] + customers[SAFES:]


def test_of_200_deposits_none_is_taken(
    place: Place,
    networks_here: dict[Variant, DtnAi],
    method: Method,
    payers: list[Any],
    record_property: Callable[[str, object], None],
) -> None:
    books = [Books(networks_here[each], payers) for each in Variant]

    def start_all(who: int) -> list[tuple[Books, DtnSession, int]]:
        """Each starts one after the other, in both networks by turns, with sums all different."""
        found = []
        for turn in range(STARTS // len(payers)):
            book, units = books[(who + turn) % 2], 1_000_000 + turn * len(payers) + who
            deposit = book.token.units(units)
            session = DtnSession.start(deposit, payers[who], book.ai, method=method)
            found.append((book, session, units))
        return found

    with (
        thief(place.chain.url, place.targets, KEYS) as report,
        mempool(place.chain, BLOCK_TIME),
        ThreadPoolExecutor(len(payers)) as threads,
    ):
        started = [each for those in threads.map(start_all, range(len(payers))) for each in those]

    assert len(started) == STARTS
    for book in books:
        book.check([(session, units) for where, session, units in started if where is book])
    fight = Fight.of(place.chain, report, [session for _, session, _ in started])
    print(f"{method.value}: {fight}")
    for name, number in vars(fight).items():
        record_property(name, number)
    assert fight.attacked > 0
    assert fight.before > 0
    assert fight.behind > 0


@pytest.mark.parametrize("variant", Variant, ids=lambda each: each.value.lower())
def test_a_bare_deposit_is_taken_and_that_is_told(
    place: Place,
    networks_here: dict[Variant, DtnAi],
    variant: Variant,
    cast: Cast,
    record_property: Callable[[str, object], None],
) -> None:
    ai, customer = networks_here[variant], cast.customer
    book = Books(ai, [customer])
    kept: list[DtnSession] = []
    taken: list[DepositTaken] = []

    with (
        thief(place.chain.url, place.targets, KEYS) as report,
        mempool(place.chain, SLOW_BLOCK_TIME),
    ):
        while len(taken) < THEFTS and len(taken) + len(kept) < BARE_STARTS:
            try:
                kept.append(DtnSession.start("25", customer, ai, unsafe_two_step=True))
            except DepositTaken as err:
                taken.append(err)

    print(f"two-step: {len(taken)} taken, {len(kept)} not")
    record_property("taken", len(taken))
    record_property("kept", len(kept))
    assert len(taken) == THEFTS
    stolen = book.stolen()
    assert len(stolen) == len(taken)
    assert {each.taken_in for each in taken} == set(stolen)
    for each in taken:
        theft = stolen[str(each.taken_in)]
        assert (theft["owner"], theft["balance"]) == (each.taken_by, 25_000_000)
        assert (each.deposit, each.session_id) == ("25.00 USDC", None)
        assert each.transaction in report.attacked(DEPOSIT)
        assert str(each.taken_by) in each.message
        assert str(each.taken_in) in each.message
    assert [str(each.balance) for each in kept] == ["25.00 USDC"] * len(kept)


def test_the_command_line_tells_who_took_it_and_exits_with_4(
    place: Place, networks_here: dict[Variant, DtnAi]
) -> None:
    router = place.routers[Variant.LIVE]
    book = Books(networks_here[Variant.LIVE], [])
    command = ("session", "start", "25", "--unsafe-two-step", "--router", router)
    signed = ("--account", CUSTOMER, "-y", "--json")

    with thief(place.chain.url, place.targets, KEYS), mempool(place.chain, SLOW_BLOCK_TIME):
        done = next(
            done
            for done in (place.shell.dtn(*command, *signed) for _ in range(BARE_STARTS))
            if done.code != 0  # it was not quick enough for the others
        )

    assert done.code == 4, done.err
    ((theft, session),) = book.stolen().items()
    assert done.error["code"] == "deposit_taken"
    assert (done.error["taken_by"], done.error["taken_in"]) == (session["owner"], theft)
    assert session["balance"] == 25_000_000
    told = f"was taken by {session['owner']} in transaction {theft}"
    assert told in " ".join(done.err.split())
    assert "--unsafe-two-step" in done.err


class Books:
    """What everybody had on a network before, to be compared with what they have."""

    def __init__(self, ai: DtnAi, payers: Sequence[Any]) -> None:
        self.ai, self.contracts, self.token = ai, ai.contracts(), ai.token()
        self.payers = [str(each.address) for each in payers]
        self.block = as_int(rpc.result(ai.provider, "eth_blockNumber", [])) + 1
        self.held = self.holdings()

    def holdings(self) -> dict[str, int]:
        """Units of the token, of all that could have any."""
        clients = [client_contract.client_of(each) for each in self.payers]
        holders = [self.contracts.fee_target, *self.payers, *clients, *THIEVES]
        calls = [Call(self.contracts.fee_token, ERC20.balance_of, (each,)) for each in holders]
        return dict(zip(holders, self.ai.read(*calls), strict=True))

    def started(self) -> list[tuple[str, dict[str, Any]]]:
        """The sessions that were started since, each with the transaction that did it."""
        provider, started = self.ai.provider, SessionManager.session_started
        found = reads.events(
            provider, self.contracts.session_manager, started, from_block=self.block
        )
        return [(log.transaction, fields) for log, fields in found]

    def stolen(self) -> dict[str, dict[str, Any]]:
        """Those of the thief's, by the transaction."""
        return {each: fields for each, fields in self.started() if fields["owner"] in THIEVES}

    def check(self, started: Sequence[tuple[DtnSession, int]]) -> None:
        """Every session has its deposit, there is no other, and no unit is anywhere else."""
        provider, manager = self.ai.provider, self.contracts.session_manager
        expected = {session.id: (owner_of(session), units) for session, units in started}
        told = {each["sessionId"]: (each["owner"], each["balance"]) for _, each in self.started()}
        calls = [Call(manager, SessionManager.get_session_by_id, (each,)) for each in expected]
        kept = dict(zip(expected, map(tuple, reads.read(provider, *calls)), strict=True))
        assert told == kept == expected

        spent = dict.fromkeys(self.held, 0)
        for session, units in started:
            spent[str(session.account.address)] -= units  # type: ignore[union-attr]
            spent[self.contracts.fee_target] += units
        after = self.holdings()
        assert {each: after[each] - self.held[each] for each in after} == spent
        assert not any(after[each] for each in THIEVES)

        owned = [Call(manager, SessionManager.get_user_session_ids, (each,)) for each in THIEVES]
        assert not any(reads.read(provider, *owned))
        with pytest.raises(NothingDeposited):
            self.ai.read_one(Call(self.ai.router, Router.start_user_session))


def owner_of(session: DtnSession) -> str:
    """Who has to own it, by how it was started."""
    address = str(session.account.address)  # type: ignore[union-attr]
    assert session.method is not None
    return client_contract.client_of(address) if session.method.by_client else address


@dataclass
class Fight:
    """How often the thief came close.

    Attributes:
        starts: The sessions that were started.
        attacked: Of those, how many the thief saw pending and attacked.
        before: Of those, before how many a claim of the thief's ran in the same block.
        behind: Of those, behind how many one did.
        claims: The claims that it sent in all.
        blocks: The blocks that it looked into.
        finds: In how many of those it found an open deposit.
    """

    starts: int
    attacked: int
    before: int
    behind: int
    claims: int
    blocks: int
    finds: int

    @classmethod
    def of(cls, chain: Chain, report: Report, sessions: Sequence[DtnSession]) -> Fight:
        prey = {each.receipt.transaction: each.receipt.block_number for each in sessions}
        claims = {each for attack in report.attacks for each in attack.claims}
        before = behind = 0
        for number in set(prey.values()):
            block = chain.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]
            places = [place for place, each in enumerate(block) if each in claims]
            for place in (place for place, each in enumerate(block) if each in prey):
                before += places[0] < place if places else 0
                behind += places[-1] > place if places else 0
        return cls(
            starts=len(prey),
            attacked=len(prey.keys() & report.attacked(BEGINNING)),
            before=before,
            behind=behind,
            claims=len(claims),
            blocks=report.blocks,
            finds=report.finds,
        )
