"""Operations in processes of their own, which can be killed at any point and looked at afterwards.

``python -m tests.sdk.crash URL`` connects to a chain once. Each line that it is given is work for
processes that it forks off, which so have everything in memory; each line that it prints is what
became of them. :class:`Nursery` is the other end of that.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ape_dtn.deployment.assemble import Variant

Work: TypeAlias = "tuple[str, Mapping[str, Any]]"

ROOT = Path(__file__).resolve().parent.parent.parent

DEPOSIT = "25.00"
CUSTOMER = 2  # of the accounts that Ape tests with

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"

# With how many answers a node has come up with the chain.
LAG = 16

# In place of a signal: no answer comes any more.
LOST = 0

# For how many seconds a process may be at its work.
PATIENCE = 600


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    Attributes:
        work: Its name; see :data:`WORK`.
        folder: Ape's data folder, in which the journal is.
        arguments: What the work takes.
        at: The point, by its place among all, at which it gets a signal; None for nowhere.
        after: After how many seconds it is killed; None for never.
        signal: The signal; :data:`LOST` where its connection is lost from there on.
        router: The network.
        safe: The Safe of the customer's that does it; none where the customer does.
        mines: Whether the chain mines only when receipts were asked for and not there.
        patience: For how many seconds a transaction is waited for; None for as long as is usual.
        behind: What the account's nonce is to a node behind the endpoint that lags, and gives every
            other answer, at first; None where there is no such node.
        first: Whether its is the first answer.
    """

    work: str
    folder: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    at: int | None = None
    after: float | None = None
    signal: int = signal.SIGKILL
    router: str = ""
    safe: str = ""
    mines: bool = False
    patience: float | None = None
    behind: int | None = None
    first: bool = False


@dataclass(frozen=True)
class Told:
    """What a process has told until its end.

    Attributes:
        points: Where it has been: the journal's steps, and each HTTP request before and after.
        sent: The hashes of the transactions that it has sent, each time it did.
        result: What its work gave; None where it came to no end.
        error: The class of the error that it ended with.
        message: What that error says.
        killed: Whether it was killed.
        seconds: How long it took.
    """

    points: list[str]
    sent: list[str]
    result: Any
    error: str | None
    message: str | None
    killed: bool
    seconds: float


# At the test's end.


class Nursery:
    """Where processes are forked off, for a chain.

    Args:
        url: The chain.
    """

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sdk.crash", url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, *jobs: Job) -> list[Told]:
        """Does all of them at once."""
        return [Told(**each) for each in self._ask({"jobs": [asdict(each) for each in jobs]})]

    def here(self, job: Job) -> Any:
        """Does it where processes are forked off, so that they have in memory what it takes.

        Nothing that uses the journal: its locks would be theirs too.
        """
        return self._ask({"here": asdict(job)})

    def rpc(self, method: str, *params: Any) -> Any:
        """Asks the chain."""
        return self._ask({"rpc": [method, params]})

    def _ask(self, what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return json.loads(line)


@dataclass(frozen=True)
class Did:
    """What some work gave, and what it sent."""

    result: Any
    sent: list[str]


class Stage:
    """A network on a chain of its own, whose past can be played again.

    Args:
        nursery: Where processes are forked off.
        variant: How the network behaves.
        mines: See :class:`tests.sdk.crash.Job`.
        folders: Where data folders are made.
    """

    def __init__(self, nursery: Nursery, variant: Variant, mines: bool, folders: Path) -> None:
        self.nursery, self.mines = nursery, mines
        self._folders = (str(folders / str(number)) for number in itertools.count())
        self.folder = next(self._folders)
        nursery.rpc("anvil_setBlockTimestampInterval", 1)
        deploy = Job("deploy_network", self.folder, {"variant": variant.value}, mines=mines)
        self.router = nursery.here(deploy)
        self.safe = ""
        for work in ("look", "plan"):
            nursery.here(self.job(work))

    def job(
        self, work: str, at: int | None = None, after: float | None = None, **given: Any
    ) -> Job:
        known: Any = {"router": self.router, "safe": self.safe, "mines": self.mines}
        return Job(work, self.folder, given, at, after, **known)

    def run(self, *jobs: Job) -> list[Told]:
        """Does all at once; none of them fails."""
        told = self.nursery.run(*jobs)
        for each in told:
            assert each.error is None, each
        return told

    def do(self, work: str, **given: Any) -> Any:
        """Does it in a process that nobody kills; what needs no journal is done without one."""
        job = self.job(work, **given)
        if work in WITHOUT_JOURNAL:
            return self.nursery.here(job)
        (told,) = self.run(job)
        return told.result

    def several(self, *works: Work) -> list[Did]:
        """One after the other, in a process that nobody kills."""
        return [Did(*each) for each in self.do("several", works=works)]

    @contextmanager
    def by_safe(self) -> Iterator[None]:
        """What is done in the context is done by a Safe, which the customer owns."""
        self.safe = self.do("create_safe")
        try:
            yield
        finally:
            self.safe = ""

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """What is done in the context is taken back at its end; it has a journal of its own."""
        self.folder = next(self._folders)
        before = self.nursery.rpc("evm_snapshot")
        try:
            yield
        finally:
            self.nursery.rpc("anvil_dropAllTransactions")
            assert self.nursery.rpc("evm_revert", before)


# In the process that forks.


def serve(url: str) -> None:
    """Does what the standard input asks for, until it ends."""
    from ape_dtn.chain import rpc
    from benchmarks.chain import connected_to

    with connected_to(url) as provider:
        for line in sys.stdin:
            asked = json.loads(line)
            if "jobs" in asked:
                answer: Any = _run([Job(**each) for each in asked["jobs"]])
            elif "here" in asked:
                job = Job(**asked["here"])
                answer = WORK[job.work](_scene(job), **job.arguments)
            else:
                method, params = asked["rpc"]
                answer = rpc.result(provider, method, params)
            print(json.dumps(answer), flush=True)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _run(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Forks a process for each, lets all of them go at once, and hears them to their ends."""
    gc.freeze()  # a collection in a forked process would copy all that it shares with this one
    gate = os.pipe()
    forked = [_fork(job, gate) for job in jobs]
    os.close(gate[0])
    began = time.monotonic()
    os.close(gate[1])
    heard = [b""] * len(jobs)
    ended = [0.0] * len(jobs)
    with selectors.DefaultSelector() as selector:
        for place, (_, pipe) in enumerate(forked):
            selector.register(pipe, selectors.EVENT_READ, place)
        while selector.get_map():
            now = time.monotonic() - began
            for place, job in enumerate(jobs):
                if job.after is not None and not ended[place] and now >= job.after:
                    os.kill(forked[place][0], signal.SIGKILL)
            waits = [each.after - now for each in jobs if each.after is not None]
            timeout = min((each for each in waits if each > 0), default=None)
            for key, _ in selector.select(timeout):
                said = os.read(key.fd, 65536)
                heard[key.data] += said
                if not said:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    ended[key.data] = time.monotonic() - began
    return [
        _told(said, os.waitpid(process, 0)[1], seconds)
        for (process, _), said, seconds in zip(forked, heard, ended, strict=True)
    ]


def _told(said: bytes, status: int, seconds: float) -> dict[str, Any]:
    lines = [json.loads(line) for line in said.split(b"\n")[:-1]]  # the last may be cut off
    last: dict[str, Any] = {"result": None, "error": None, "message": None}
    for line in lines:
        last |= {name: line[name] for name in last if name in line}
    return asdict(
        Told(
            points=[each["point"] for each in lines if "point" in each],
            sent=[each["sent"] for each in lines if "sent" in each],
            killed=os.WIFSIGNALED(status),
            seconds=seconds,
            **last,
        )
    )


def _fork(job: Job, gate: tuple[int, int]) -> tuple[int, int]:
    """The process, and the pipe on which it tells."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    os.close(gate[1])
    os.dup2(2, 1)  # what others print is not to be taken for an answer
    signal.alarm(PATIENCE)
    os.read(gate[0], 1)
    return _work(job, writing)


# In what is forked off.


def _work(job: Job, pipe: int) -> NoReturn:
    from requests import RequestException

    sent: list[str] = []

    def tell(**what: Any) -> None:
        os.write(pipe, json.dumps(what).encode() + b"\n")
        sent.extend(each for name, each in what.items() if name == "sent")

    points = 0

    def point(name: str) -> None:
        nonlocal points
        tell(point=name)
        if points == job.at and job.signal != LOST:
            os.kill(os.getpid(), job.signal)
        points += 1
        if job.signal == LOST and job.at is not None and points > job.at and " " in name:
            raise RequestException("lost")

    try:
        tell(result=WORK[job.work](_scene(job, point, tell, sent), **job.arguments))
    except BaseException as err:
        tell(error=type(err).__name__, message=str(err))
    os._exit(0)


@dataclass(frozen=True)
class Scene:
    """What work is done with.

    Attributes:
        ai: The network; None until there is one.
        account: The customer, or the customer's Safe.
        sender: The customer, who sends what either does.
        sent: The hashes of the transactions that were sent so far.
    """

    ai: Any
    account: Any
    sender: Any
    sent: Sequence[str]


def _scene(
    job: Job,
    point: Callable[[str], None] = _nothing,
    tell: Callable[..., None] = _nothing,
    sent: Sequence[str] = (),
) -> Scene:
    import ape

    from ape_dtn import DtnAi
    from ape_dtn.journal import reorgs
    from ape_dtn.sessions import spending

    provider: Any = ape.networks.active_provider
    # What was forked has the connections of what it was forked off.
    provider.web3.provider._request_session_manager = _wire(point, tell, job)
    if job.patience is not None:
        type(provider.network).transaction_acceptance_timeout = job.patience
        provider.web3.provider.exception_retry_configuration.backoff_factor = 0.01
    # What the chain forgets may come again, as on public ones.
    for module in (spending, reorgs):
        module.is_local = lambda _: False  # type: ignore[attr-defined]
    if job.folder:
        ape.config.DATA_FOLDER = Path(job.folder)
    log = logging.getLogger("ape_dtn.journal")
    log.setLevel(logging.DEBUG)
    log.handlers = [_Steps(point)]
    customer = ape.accounts.test_accounts[CUSTOMER]
    return Scene(
        ai=DtnAi(job.router, provider) if job.router else None,
        account=_safe(job) if job.safe else customer,
        sender=customer,
        sent=sent,
    )


def _safe(job: Job) -> Any:
    """A Safe as an account of Ape."""
    from ape_safe.accounts import SafeAccount

    file = Path(job.folder) / "safe.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"address": job.safe, "deployed_chain_ids": []}))
    return SafeAccount(account_file_path=file)


class _Steps(logging.Handler):
    """A point at each step of the journal."""

    def __init__(self, point: Callable[[str], None]) -> None:
        super().__init__()
        self.point = point

    def emit(self, record: logging.LogRecord) -> None:
        self.point(record.getMessage())


def _wire(point: Callable[[str], None], tell: Callable[..., None], job: Job) -> Any:
    """A point before and after each HTTP request."""
    from eth_utils import keccak
    from web3._utils.http_session_manager import HTTPSessionManager

    mine = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": []}).encode()

    class Wire(HTTPSessionManager):
        count = 0

        def make_post_request(self, endpoint_uri: Any, data: Any, **options: Any) -> bytes:
            self.count += 1
            asked = json.loads(data)
            calls = asked if isinstance(asked, list) else [asked]
            name = f"{self.count} {calls[0]['method']}"
            point(f"before {name}")
            for call in calls:
                if call["method"] == SEND:
                    tell(sent="0x" + keccak(hexstr=call["params"][0]).hex())
            answer: bytes = super().make_post_request(endpoint_uri, data, **options)
            point(f"after {name}")
            if job.behind is not None and self.count < LAG and self.count % 2 == job.first:
                return _behind(answer, calls, job.behind)
            if job.mines and calls[0]["method"] == RECEIPT and b'"result":null' in answer:
                super().make_post_request(endpoint_uri, mine, **options)
            return answer

    return Wire()


def _behind(answer: bytes, calls: Sequence[Any], nonce: int) -> bytes:
    """An answer as a node gives it that knows nothing of the account's latest transactions."""
    given = json.loads(answer)
    methods = {call["id"]: call["method"] for call in calls}
    for each in given if isinstance(given, list) else [given]:
        method = methods[each["id"]]
        if method in (RECEIPT, "eth_getTransactionByHash"):
            each["result"] = None
        elif method == "eth_getTransactionCount":
            each["result"] = hex(nonce)
        elif method == "eth_getLogs":
            each["result"] = []
    return json.dumps(given).encode()


# The work.


def deploy_network(scene: Scene, variant: str) -> str:
    """A network that takes signed payments, in which the customer has 1,000; gives its router."""
    import ape

    from ape_dtn.deployment.assemble import FeeToken, Variant, deploy, fund

    owner, worker = ape.accounts.test_accounts[:2]
    network = deploy(owner, worker, Variant(variant), FeeToken.USDC)
    customer = str(scene.account.address)
    fund(network.ai.provider, owner, network.token, customer, 1_000_000_000)
    return network.ai.router


def plan(scene: Scene) -> str:
    """How a session would be started."""
    from ape_dtn import DtnSession

    found: str = DtnSession.plan(DEPOSIT, scene.account, scene.ai, method="allowance").method.value
    return found


def start(scene: Scene, method: str | None = None, key: str | None = None) -> int:
    """Starts a session."""
    from ape_dtn import DtnSession

    given: Any = {"method": method, "idempotency_key": key}
    return DtnSession.start(DEPOSIT, scene.account, scene.ai, **given).id


def run_executor(scene: Scene) -> None:
    """The account runs a contract that batches calls for it (EIP-7702)."""
    import ape

    from ape_dtn.chain import transactions

    from . import safe

    provider, owner = scene.ai.provider, ape.accounts.test_accounts[0]
    safe.run_as(provider, scene.account, transactions.create(provider, owner, safe.batching_code()))


def create_safe(scene: Scene) -> str:
    """A Safe of the customer's, in which there is 1,000, and what it batches with; its address."""
    import ape

    from ape_dtn.deployment.assemble import fund

    from . import safe

    provider, owner = scene.ai.provider, ape.accounts.test_accounts[0]
    safe.create_canonical(provider, owner, "libraries/MultiSendCallOnly")
    created = safe.create_safe(provider, owner, [scene.sender], 1)
    fund(provider, owner, scene.ai.contracts().fee_token, created, 1_000_000_000)
    return created


def deposit(scene: Scene) -> None:
    """A bare deposit, that somebody has yet to claim."""
    from ape_dtn.chain import transactions
    from ape_dtn.network.abi import ERC20
    from ape_dtn.types.transactions import contract_call

    contracts, token = scene.ai.contracts(), scene.ai.token()
    units = token.amount(DEPOSIT).units
    bare = contract_call(token.address, ERC20.transfer, contracts.fee_target, units)
    transactions.send(scene.ai.provider, scene.account, bare)


def claim(scene: Scene, key: str | None = None) -> int:
    """Starts a session with what is deposited."""
    from ape_dtn import DtnSession

    return DtnSession.claim(scene.account, scene.ai, idempotency_key=key).id


def request(scene: Scene, session: int, key: str | None = None, **options: Any) -> str:
    """Asks on a session."""
    return _session(scene, session).request("Hello?", idempotency_key=key, **options).id


def request_many(scene: Scene, session: int, key: str | None = None) -> list[str]:
    """Asks three times on a session."""
    prompts = ["One?", "Two?", "Three?"]
    sent = _session(scene, session).request_many(prompts, idempotency_key=key)
    return [each.id for each in sent]


def answer(scene: Scene) -> None:
    """The node answers what is open."""
    import ape

    from ape_dtn.deployment.assemble import NODE
    from ape_dtn.node.node import DtnNode

    DtnNode(scene.ai, NODE, ape.accounts.test_accounts[1]).answer_pending()


def close(scene: Scene, session: int, key: str | None = None) -> int:
    """Closes a session; gives the refund."""
    units: int = _session(scene, session).close(idempotency_key=key).units
    return units


def ask(scene: Scene, key: str | None = None) -> str:
    """Starts a session and asks on it."""
    found: str = scene.ai.request("Hello?", account=scene.account, idempotency_key=key).id
    return found


def several(scene: Scene, works: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Any]:
    """One after the other; gives of each what it gave and what it has sent."""
    found = []
    for work, given in works:
        before = len(scene.sent)
        found.append([WORK[work](scene, **given), scene.sent[before:]])
    return found


def attempt(scene: Scene, works: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Any]:
    """One after the other; gives what each gave, or the code of its error and how it exits.

    After a start that fails there is nothing to ask on.
    """
    from ape_dtn.errors import DtnError

    found: list[Any] = []
    for work, given in works:
        try:
            found.append({"result": WORK[work](scene, **given)})
        except DtnError as err:
            found.append({"error": err.code, "exit": err.exit_code, "message": err.message})
            if work == "start":
                break
    return found


def request_each(scene: Scene, session: int, key: str) -> list[str | None]:
    """Asks three times on a session; gives the ids, and None for what failed."""
    from ape_dtn.errors import DtnError

    prompts = ["One?", "Two?", "Three?"]
    sent = _session(scene, session).request_many(prompts, idempotency_key=key)
    for each in sent:
        if isinstance(each, DtnError) and each.exit_code not in (3, 7):
            raise each
    return [None if isinstance(each, DtnError) else each.id for each in sent]


def watch(scene: Scene, session: int) -> list[str]:
    """The requests of a session that are answered."""
    return sorted(each.request.id for each in scene.ai.watch(session=session, timeout=0.2))


def nothing(_: Scene) -> None:
    """Nothing."""


def start_ask_and_close(scene: Scene, method: str, operations: int) -> list[int]:
    """Starts sessions, asks twice on each and closes it; gives those that it started."""
    started: list[int] = []
    for place in range(operations):
        if place % 4 == 0:
            started.append(start(scene, method))
        elif place % 4 == 3:
            _session(scene, started[-1]).close(force=True)
        else:
            request(scene, started[-1])
    return started


def ask_often(scene: Scene, session: int, times: int, **options: Any) -> int:
    """Asks as often as limits allow, at most so many times; gives how often that was."""
    from ape_dtn.errors import OverLimit

    asked = 0
    for _ in range(times):
        before = len(scene.sent)
        try:
            request(scene, session, **options)
            asked += 1
        except OverLimit:
            assert len(scene.sent) == before
    return asked


def answer_often(scene: Scene, times: int, pause: float) -> None:
    """The node answers what is open, so many times."""
    for _ in range(times):
        answer(scene)
        time.sleep(pause)


def bill(scene: Scene, session: int) -> tuple[int, int]:
    """What a session has cost, and may still cost."""
    from ape_dtn.billing.history import history

    found = history(scene.ai, session)
    return found.charged.units, found.may_still_cost.units


def succeeded(scene: Scene) -> int:
    """How many of the account's transactions are mined and have succeeded."""
    from ape_dtn.chain import rpc
    from ape_dtn.types.rpc import Request, as_int

    head = as_int(rpc.result(scene.ai.provider, "eth_blockNumber", []))
    asked: list[Request] = [("eth_getBlockReceipts", [hex(each)]) for each in range(head + 1)]
    blocks: list[Any] = [None]
    while None in blocks:  # while it mines, Anvil may not have the receipts of a block yet
        blocks = [rpc.expect(each) for each in rpc.ask(scene.ai.provider, asked)]
    mine = str(scene.account.address).lower()
    return sum(
        as_int(each["status"])
        for receipts in blocks
        for each in receipts
        if each["from"].lower() == mine
    )


def resume(scene: Scene) -> list[str]:
    """Finishes what is open; gives what came of each."""
    from ape_dtn.journal import executor
    from ape_dtn.sessions.operations import operation_of

    open_ones = executor.unfinished(scene.ai, scene.account)
    return [
        outcome.code if isinstance(outcome, Exception) else "done"
        for _, outcome in executor.resume(scene.ai, scene.account, open_ones, operation_of)
    ]


def look(scene: Scene) -> dict[str, Any]:
    """What there is of the account's money and sessions, as the chain has it."""
    from ape_dtn import DtnSession
    from ape_dtn.chain import reads, rpc
    from ape_dtn.chain.reads import Call
    from ape_dtn.network.abi import ERC20, Router, SessionManager
    from ape_dtn.network.client_contract import client_of
    from ape_dtn.types.rpc import Request, as_int

    provider, contracts = scene.ai.provider, scene.ai.contracts()
    account = str(scene.account.address)
    client, token, manager = client_of(account), contracts.fee_token, contracts.session_manager
    calls = [
        *(Call(token, ERC20.balance_of, (each,)) for each in (account, client)),
        Call(token, ERC20.balance_of, (contracts.fee_target,)),
        Call(token, ERC20.allowance, (account, client)),
    ]
    states: list[Request] = [
        ("eth_getTransactionCount", [str(scene.sender.address), "latest"]),
        ("eth_getCode", [account, "latest"]),
        ("eth_getCode", [client, "latest"]),
        ("txpool_status", []),
    ]
    events: Mapping[str, Any] = {
        "started": (manager, SessionManager.session_started, "sessionId", "owner", "balance"),
        "closed": (manager, SessionManager.session_closed, "sessionId", "remainingBalance"),
        "requests": (scene.ai.router, Router.request_created, "sessionId"),
        "transfers": (token, ERC20.transferred, "from", "to", "value"),
    }
    queries: list[Request] = [
        ("eth_getLogs", [{"address": address, "topics": [event.topic], "fromBlock": "0x0"}])
        for address, event, *_ in events.values()
    ]
    # All at once: it is done after each of the kills.
    answers = rpc.ask(provider, [*(each.request for each in calls), *states, *queries])
    read, state, logs = rpc.in_parts(answers, len(calls), len(states))
    held, of_client, waiting, allowance = reads.expect_all(reads.decode_all(calls, read))
    nonce, code, client_code, mempool = map(rpc.expect, state)
    happened = {}
    for (name, (_, event, *fields)), found in zip(events.items(), logs, strict=True):
        decoded = [event.decode(reads.to_log(raw)) for raw in rpc.expect(found)]
        happened[name] = [[str(each[field]) for field in fields] for each in decoded]
    sessions = DtnSession.list(account, scene.ai)
    return {
        "held": held,
        "held by the client": of_client,
        "waiting": waiting - sum(balance.units for _, balance in sessions),
        "allowance": allowance,
        "sessions": [[session.id, balance.units] for session, balance in sessions],
        **happened,
        "nonce": as_int(nonce),
        "code": code,
        "client code": client_code,
        "in the mempool": mempool,
    }


def journal(scene: Scene) -> list[dict[str, Any]]:
    """What is written down of the account."""
    from ape_dtn.journal import executor
    from ape_dtn.journal.store import State

    found = executor.journal_of(scene.ai, scene.account).entries(*State)
    return [
        {
            "kind": each.kind,
            "state": each.state.value,
            "outcome": each.outcome,
            "signed": [[one.hash, one.nonce] for one in each.signed],
        }
        for each in found
    ]


def transact(
    scene: Scene, nonce: int, to: str | None = None, data: str = "", gas: int = 21_000
) -> str:
    """What the user's own wallet sends, with a nonce of its choice and a high fee; gives its hash.

    Args:
        scene: The scene.
        nonce: The nonce.
        to: The contract; by default the account itself.
        data: The call data.
        gas: The gas that it may use.
    """
    from ape_dtn.chain import rpc

    account, provider = scene.sender, scene.ai.provider
    txn = provider.network.ecosystem.create_transaction(
        type=2,
        chain_id=provider.chain_id,
        sender=account.address,
        receiver=to or account.address,
        nonce=nonce,
        gas_limit=gas,
        max_fee=100 * 10**9,
        max_priority_fee=10 * 10**9,
        value=0,
        data=bytes.fromhex(data.removeprefix("0x")),
    )
    raw = "0x" + bytes(account.sign_transaction(txn).serialize_transaction()).hex()
    sent: str = rpc.result(provider, SEND, [raw])
    return sent


def _session(scene: Scene, session: int) -> Any:
    from ape_dtn import DtnSession

    return DtnSession(scene.ai, session, scene.account)


WORK: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        deploy_network,
        plan,
        start,
        run_executor,
        create_safe,
        deposit,
        claim,
        request,
        request_many,
        answer,
        close,
        ask,
        start_ask_and_close,
        ask_often,
        answer_often,
        bill,
        succeeded,
        several,
        attempt,
        request_each,
        watch,
        nothing,
        resume,
        look,
        journal,
        transact,
    )
}

# What uses no journal, so that it need not have a process of its own.
WITHOUT_JOURNAL = {each.__name__ for each in (plan, create_safe, deposit, look, transact)}


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(sys.argv[1])
