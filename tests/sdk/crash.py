"""Runs operations in processes that can be interrupted at any step.

``python -m tests.sdk.crash URL`` is the fork server. It imports everything and connects to the
chain once, then forks a process for each job, which starts without these costs. It reads commands
from standard input and prints their results, as lines of JSON. :class:`ForkServer` is its client.
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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ape_dtn.deployment.assemble import Variant

Task: TypeAlias = "tuple[str, Mapping[str, Any]]"

ROOT = Path(__file__).resolve().parent.parent.parent

DEPOSIT = "25.00"
CUSTOMER = 2  # index of Ape's test accounts

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"

# After this many requests, a lagging node has the latest block.
LAGGING_REQUESTS = 16

# Used instead of a signal: the process receives no more answers.
CONNECTION_LOST = 0

# The time limit of a process, in seconds.
PROCESS_TIMEOUT = 600


@dataclass(frozen=True)
class Job:
    """A task for one process, and how the process is interrupted.

    Attributes:
        task: Name of the task; see :data:`TASKS`.
        folder: Ape's data folder, which has the journal.
        arguments: Arguments of the task.
        signal_at: Index of the point at which the process gets ``signal``; None for never.
        kill_after: Seconds after which the process is killed; None for never.
        signal: The signal; :data:`CONNECTION_LOST` to drop all answers from then on.
        router: The network's router.
        safe: The customer's Safe that runs the task; empty if the customer runs it.
        mines_on_demand: Whether a missing receipt makes the chain mine a block.
        timeout: Acceptance timeout of transactions, in seconds; None for Ape's default.
        lagging_nonce: The account's nonce at a lagging node, which answers every other of the first
            requests; None if no node lags.
        lags_first: Whether the lagging node answers the first request.
    """

    task: str
    folder: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    signal_at: int | None = None
    kill_after: float | None = None
    signal: int = signal.SIGKILL
    router: str = ""
    safe: str = ""
    mines_on_demand: bool = False
    timeout: float | None = None
    lagging_nonce: int | None = None
    lags_first: bool = False


@dataclass(frozen=True)
class ProcessReport:
    """What a process reported before it ended.

    Attributes:
        points: The points that it reached: journal steps, and before and after each HTTP request.
        sent: Hashes of the transactions that it sent, one for each broadcast.
        result: Result of its task; None if the task did not end.
        error: Class name of the error that ended the task.
        message: Message of that error.
        killed: Whether a signal ended the process.
        seconds: Its duration.
    """

    points: list[str]
    sent: list[str]
    result: Any
    error: str | None
    message: str | None
    killed: bool
    seconds: float


# In the test's process.


class ForkServer:
    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sdk.crash", url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, *jobs: Job) -> list[ProcessReport]:
        """Runs jobs in parallel, each in a forked process."""
        reports = self._ask({"jobs": [asdict(job) for job in jobs]})
        return [ProcessReport(**report) for report in reports]

    def run_in_server(self, job: Job) -> Any:
        """Runs a job in the server itself, so that forked processes share what it loads.

        Not for tasks that use the journal: forked processes would inherit its locks.
        """
        return self._ask({"job": asdict(job)})

    def rpc(self, method: str, *params: Any) -> Any:
        return self._ask({"rpc": [method, params]})

    def _ask(self, message: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the fork server has ended"
        return json.loads(line)


@dataclass(frozen=True)
class TaskResult:
    """Result of a task, and hashes of the transactions that it sent."""

    result: Any
    sent: list[str]


class Sandbox:
    """A network on its own chain, whose state can be reverted.

    Args:
        fork_server: The fork server of the chain.
        variant: The variant of the contracts.
        mines_on_demand: See :class:`tests.sdk.crash.Job`.
        folders: Parent of the data folders.
    """

    def __init__(
        self, fork_server: ForkServer, variant: Variant, mines_on_demand: bool, folders: Path
    ) -> None:
        self.fork_server, self.mines_on_demand = fork_server, mines_on_demand
        self._folders = (str(folders / str(number)) for number in itertools.count())
        self.folder = next(self._folders)
        fork_server.rpc("anvil_setBlockTimestampInterval", 1)
        deploy = Job(
            "deploy_network",
            self.folder,
            {"variant": variant.value},
            mines_on_demand=mines_on_demand,
        )
        self.router = fork_server.run_in_server(deploy)
        self.safe = ""
        for task in ("read_state", "plan"):
            fork_server.run_in_server(self.job(task))

    def job(
        self,
        task: str,
        signal_at: int | None = None,
        kill_after: float | None = None,
        **arguments: Any,
    ) -> Job:
        return Job(
            task,
            self.folder,
            arguments,
            signal_at,
            kill_after,
            router=self.router,
            safe=self.safe,
            mines_on_demand=self.mines_on_demand,
        )

    def run(self, *jobs: Job) -> list[ProcessReport]:
        """Runs jobs in parallel, and asserts that none fails."""
        reports = self.fork_server.run(*jobs)
        for report in reports:
            assert report.error is None, report
        return reports

    def do(self, task: str, **arguments: Any) -> Any:
        """Runs a task without interruption, in the server itself if it uses no journal."""
        job = self.job(task, **arguments)
        if task in TASKS_WITHOUT_JOURNAL:
            return self.fork_server.run_in_server(job)
        (report,) = self.run(job)
        return report.result

    def run_all(self, *tasks: Task) -> list[TaskResult]:
        """Runs tasks in order, in one process, without interruption."""
        return [TaskResult(*result) for result in self.do("run_all", tasks=tasks)]

    @contextmanager
    def by_safe(self) -> Iterator[None]:
        """Runs the tasks of the context as a Safe that the customer owns."""
        self.safe = self.do("create_safe")
        try:
            yield
        finally:
            self.safe = ""

    @contextmanager
    def reverted(self) -> Iterator[None]:
        """Reverts the chain at the end of the context, which has a journal of its own."""
        self.folder = next(self._folders)
        before = self.fork_server.rpc("evm_snapshot")
        try:
            yield
        finally:
            self.fork_server.rpc("anvil_dropAllTransactions")
            assert self.fork_server.rpc("evm_revert", before)


# In the fork server.


def serve(url: str) -> None:
    """Runs the commands of standard input until it ends."""
    from ape_dtn.chain import rpc
    from benchmarks.chain import connected_to

    with connected_to(url) as provider:
        for line in sys.stdin:
            asked = json.loads(line)
            if "jobs" in asked:
                answer: Any = _run([Job(**fields) for fields in asked["jobs"]])
            elif "job" in asked:
                job = Job(**asked["job"])
                answer = TASKS[job.task](_context(job), **job.arguments)
            else:
                method, params = asked["rpc"]
                answer = rpc.result(provider, method, params)
            print(json.dumps(answer), flush=True)


def _ignore(*_: Any, **__: Any) -> None:
    pass


def _run(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Forks a process for each job, starts all at the same time, and reads their messages."""
    gc.freeze()  # a collection in a forked process would copy all that it shares with this one
    gate = os.pipe()
    forked = [_fork(job, gate) for job in jobs]
    os.close(gate[0])
    began = time.monotonic()
    os.close(gate[1])
    outputs = [b""] * len(jobs)
    ended = [0.0] * len(jobs)
    with selectors.DefaultSelector() as selector:
        for place, (_, pipe) in enumerate(forked):
            selector.register(pipe, selectors.EVENT_READ, place)
        while selector.get_map():
            now = time.monotonic() - began
            for place, job in enumerate(jobs):
                if job.kill_after is not None and not ended[place] and now >= job.kill_after:
                    os.kill(forked[place][0], signal.SIGKILL)
            waits = [job.kill_after - now for job in jobs if job.kill_after is not None]
            next_kill = min((wait for wait in waits if wait > 0), default=None)
            for key, _ in selector.select(next_kill):
                output = os.read(key.fd, 65536)
                outputs[key.data] += output
                if not output:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    ended[key.data] = time.monotonic() - began
    return [
        _report(output, os.waitpid(process, 0)[1], seconds)
        for (process, _), output, seconds in zip(forked, outputs, ended, strict=True)
    ]


def _report(output: bytes, status: int, seconds: float) -> dict[str, Any]:
    lines = [json.loads(line) for line in output.split(b"\n")[:-1]]  # the last may be cut off
    last: dict[str, Any] = {"result": None, "error": None, "message": None}
    for line in lines:
        last |= {name: line[name] for name in last if name in line}
    return asdict(
        ProcessReport(
            points=[line["point"] for line in lines if "point" in line],
            sent=[line["sent"] for line in lines if "sent" in line],
            killed=os.WIFSIGNALED(status),
            seconds=seconds,
            **last,
        )
    )


def _fork(job: Job, gate: tuple[int, int]) -> tuple[int, int]:
    """Forks a process; returns its id and the pipe of its messages."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    os.close(gate[1])
    os.dup2(2, 1)  # keep what libraries print out of the server's answers
    signal.alarm(PROCESS_TIMEOUT)
    os.read(gate[0], 1)
    return _run_forked(job, writing)


# In a forked process.


def _run_forked(job: Job, pipe: int) -> NoReturn:
    from requests import RequestException

    sent: list[str] = []

    def send(**message: Any) -> None:
        os.write(pipe, json.dumps(message).encode() + b"\n")
        if "sent" in message:
            sent.append(message["sent"])

    points = 0

    def reach(name: str) -> None:
        nonlocal points
        send(point=name)
        if points == job.signal_at and job.signal != CONNECTION_LOST:
            os.kill(os.getpid(), job.signal)
        points += 1
        is_lost = (
            job.signal == CONNECTION_LOST and job.signal_at is not None and points > job.signal_at
        )
        if is_lost and " " in name:
            raise RequestException("lost")

    try:
        send(result=TASKS[job.task](_context(job, reach, send, sent), **job.arguments))
    except BaseException as err:
        send(error=type(err).__name__, message=str(err))
    os._exit(0)


@dataclass(frozen=True)
class Context:
    """What tasks use.

    Attributes:
        ai: The network; None before it is deployed.
        account: The customer, or the customer's Safe.
        sender: The customer, who sends the transactions of both.
        sent: Hashes of the transactions sent so far.
    """

    ai: Any
    account: Any
    sender: Any
    sent: Sequence[str]


def _context(
    job: Job,
    reach: Callable[[str], None] = _ignore,
    send: Callable[..., None] = _ignore,
    sent: Sequence[str] = (),
) -> Context:
    import ape
    from web3._utils.http_session_manager import HTTPSessionManager

    from ape_dtn import DtnAi
    from ape_dtn.chain import rpc
    from ape_dtn.journal import reorgs
    from ape_dtn.sessions import spending
    from ape_dtn.types.polling import POLICY, Backoff

    provider: Any = ape.networks.active_provider
    # A forked process must not use the server's connections.
    provider.web3.provider._request_session_manager = HTTPSessionManager()
    _trace(rpc.endpoint(provider), reach, send, job)
    if job.timeout is not None:
        type(provider.network).transaction_acceptance_timeout = job.timeout
        POLICY.rpc_backoff = Backoff(0.01, 0.05)
    # Treat the chain as public: a transaction that it dropped may come back.
    for module in (spending, reorgs):
        module.is_local = lambda _: False  # type: ignore[attr-defined]
    if job.folder:
        ape.config.DATA_FOLDER = Path(job.folder)
    log = logging.getLogger("ape_dtn.journal")
    log.setLevel(logging.DEBUG)
    log.handlers = [_JournalSteps(reach)]
    customer = ape.accounts.test_accounts[CUSTOMER]
    return Context(
        ai=DtnAi(job.router, provider) if job.router else None,
        account=_safe(job) if job.safe else customer,
        sender=customer,
        sent=sent,
    )


def _safe(job: Job) -> Any:
    from ape_safe.accounts import SafeAccount

    file = Path(job.folder) / "safe.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"address": job.safe, "deployed_chain_ids": []}))
    return SafeAccount(account_file_path=file)


class _JournalSteps(logging.Handler):
    """Reports each step of the journal as a point."""

    def __init__(self, reach: Callable[[str], None]) -> None:
        super().__init__()
        self.reach = reach

    def emit(self, record: logging.LogRecord) -> None:
        self.reach(record.getMessage())


def _trace(
    endpoint: Any, reach: Callable[[str], None], send: Callable[..., None], job: Job
) -> None:
    """Reports points before and after each HTTP request."""
    from eth_utils import keccak

    mine = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": []}).encode()
    post, counter = type(endpoint).send, itertools.count(1)

    def traced(data: bytes) -> Any:
        number = next(counter)
        asked = json.loads(data)
        calls = asked if isinstance(asked, list) else [asked]
        name = f"{number} {calls[0]['method']}"
        reach(f"before {name}")
        for call in calls:
            if call["method"] == SEND:
                send(sent="0x" + keccak(hexstr=call["params"][0]).hex())
        reply = post(endpoint, data)
        reach(f"after {name}")
        if (
            job.lagging_nonce is not None
            and number < LAGGING_REQUESTS
            and number % 2 == job.lags_first
        ):
            content = _lagging_answer(reply.content, calls, job.lagging_nonce)
            return replace(reply, content=content)
        if (
            job.mines_on_demand
            and calls[0]["method"] == RECEIPT
            and b'"result":null' in reply.content
        ):
            post(endpoint, mine)
        return reply

    endpoint.send = traced


def _lagging_answer(answer: bytes, calls: Sequence[Any], nonce: int) -> bytes:
    """The answer of a node that lacks the account's latest transactions."""
    decoded = json.loads(answer)
    methods = {call["id"]: call["method"] for call in calls}
    for result in decoded if isinstance(decoded, list) else [decoded]:
        method = methods[result["id"]]
        if method in (RECEIPT, "eth_getTransactionByHash"):
            result["result"] = None
        elif method == "eth_getTransactionCount":
            result["result"] = hex(nonce)
        elif method == "eth_getLogs":
            result["result"] = []
    return json.dumps(decoded).encode()


# The tasks.


def deploy_network(context: Context, variant: str) -> str:
    """Deploys a network with USDC, of which the customer has 1,000; returns its router."""
    import ape

    from ape_dtn.deployment.assemble import FeeToken, Variant, deploy, fund

    owner, worker = ape.accounts.test_accounts[:2]
    network = deploy(owner, worker, Variant(variant), FeeToken.USDC)
    customer = str(context.account.address)
    fund(network.ai.provider, owner, network.token, customer, 1_000_000_000)
    return network.ai.router


def plan(context: Context) -> str:
    """The method by which a session would be funded."""
    from ape_dtn import DtnSession

    found: str = DtnSession.plan(
        DEPOSIT, context.account, context.ai, method="allowance"
    ).method.value
    return found


def start(context: Context, method: str | None = None, key: str | None = None) -> int:
    from ape_dtn import DtnSession

    arguments: Any = {"method": method, "idempotency_key": key}
    return DtnSession.start(DEPOSIT, context.account, context.ai, **arguments).id


def delegate_to_executor(context: Context) -> None:
    """Delegates the account to a batch executor (EIP-7702)."""
    import ape

    from ape_dtn.chain import transactions

    from . import safe

    provider, owner = context.ai.provider, ape.accounts.test_accounts[0]
    safe.run_as(
        provider, context.account, transactions.create(provider, owner, safe.batching_code())
    )


def create_safe(context: Context) -> str:
    """Creates a Safe of the customer with 1,000 USDC, and its batch library."""
    import ape

    from ape_dtn.deployment.assemble import fund

    from . import safe

    provider, owner = context.ai.provider, ape.accounts.test_accounts[0]
    safe.create_canonical(provider, owner, "libraries/MultiSendCallOnly")
    created = safe.create_safe(provider, owner, [context.sender], 1)
    fund(provider, owner, context.ai.contracts().fee_token, created, 1_000_000_000)
    return created


def deposit(context: Context) -> None:
    """Sends a bare deposit, without a session start."""
    from ape_dtn.chain import transactions
    from ape_dtn.network.abi import ERC20
    from ape_dtn.types.transactions import contract_call

    contracts, token = context.ai.contracts(), context.ai.token()
    units = token.amount(DEPOSIT).units
    bare = contract_call(token.address, ERC20.transfer, contracts.fee_target, units)
    transactions.send(context.ai.provider, context.account, bare)


def claim(context: Context, key: str | None = None) -> int:
    from ape_dtn import DtnSession

    return DtnSession.claim(context.account, context.ai, idempotency_key=key).id


def request(context: Context, session: int, key: str | None = None, **options: Any) -> str:
    return _session(context, session).request("Hello?", idempotency_key=key, **options).id


def request_many(context: Context, session: int, key: str | None = None) -> list[str]:
    prompts = ["One?", "Two?", "Three?"]
    sent = _session(context, session).request_many(prompts, idempotency_key=key)
    return [request.id for request in sent]


def answer(context: Context) -> None:
    """Answers the pending requests as the node."""
    import ape

    from ape_dtn.deployment.assemble import NODE
    from ape_dtn.node.node import DtnNode

    DtnNode(context.ai, NODE, ape.accounts.test_accounts[1]).answer_pending()


def close(context: Context, session: int, key: str | None = None) -> int:
    """Closes a session; returns the refund in units."""
    units: int = _session(context, session).close(idempotency_key=key).units
    return units


def ask(context: Context, key: str | None = None) -> str:
    found: str = context.ai.request("Hello?", account=context.account, idempotency_key=key).id
    return found


def run_all(context: Context, tasks: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Any]:
    """Runs tasks in order; returns the result and the sent transactions of each."""
    found = []
    for task, arguments in tasks:
        before = len(context.sent)
        found.append([TASKS[task](context, **arguments), context.sent[before:]])
    return found


def run_all_or_errors(
    context: Context, tasks: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Any]:
    """Runs tasks in order; returns the result, or the error's code, exit code and message, of each.

    Stops after a failed start, because the other tasks need its session.
    """
    from ape_dtn.errors import DtnError

    found: list[Any] = []
    for task, arguments in tasks:
        try:
            found.append({"result": TASKS[task](context, **arguments)})
        except DtnError as err:
            found.append({"error": err.code, "exit": err.exit_code, "message": err.message})
            if task == "start":
                break
    return found


def request_many_or_none(context: Context, session: int, key: str) -> list[str | None]:
    """Sends three requests on a session; returns their ids, and None for those that failed."""
    from ape_dtn.errors import DtnError

    prompts = ["One?", "Two?", "Three?"]
    sent = _session(context, session).request_many(prompts, idempotency_key=key)
    for result in sent:
        if isinstance(result, DtnError) and result.exit_code not in (3, 7):
            raise result
    return [None if isinstance(result, DtnError) else result.id for result in sent]


def watch(context: Context, session: int) -> list[str]:
    """The ids of a session's answered requests."""
    answered = context.ai.watch(session=session, timeout=0.2)
    return sorted(answer.request.id for answer in answered)


def no_op(_: Context) -> None:
    pass


def start_ask_and_close(context: Context, method: str, operations: int) -> list[int]:
    """Starts sessions, sends two requests on each, and closes them; returns their ids."""
    started: list[int] = []
    for place in range(operations):
        if place % 4 == 0:
            started.append(start(context, method))
        elif place % 4 == 3:
            _session(context, started[-1]).close(force=True)
        else:
            request(context, started[-1])
    return started


def request_until_limit(context: Context, session: int, times: int, **options: Any) -> int:
    """Sends up to ``times`` requests, as limits allow; returns how many were sent."""
    from ape_dtn.errors import OverLimit

    asked = 0
    for _ in range(times):
        before = len(context.sent)
        try:
            request(context, session, **options)
            asked += 1
        except OverLimit:
            assert len(context.sent) == before
    return asked


def answer_repeatedly(context: Context, times: int, pause: float) -> None:
    for _ in range(times):
        answer(context)
        time.sleep(pause)


def costs(context: Context, session: int) -> tuple[int, int]:
    """The charges of a session, and the maximum cost of its pending requests, in units."""
    from ape_dtn.billing.history import history

    found = history(context.ai, session)
    return found.charged.units, found.may_still_cost.units


def count_successes(context: Context) -> int:
    """The number of the account's mined and successful transactions."""
    from ape_dtn.chain import rpc
    from ape_dtn.types.rpc import Request, as_int

    head = as_int(rpc.result(context.ai.provider, "eth_blockNumber", []))
    calls: list[Request] = [("eth_getBlockReceipts", [hex(block)]) for block in range(head + 1)]
    blocks: list[Any] = [None]
    while None in blocks:  # Anvil may not have the receipts of its latest block yet
        blocks = [rpc.expect(result) for result in rpc.ask(context.ai.provider, calls)]
    mine = str(context.account.address).lower()
    return sum(
        as_int(receipt["status"])
        for receipts in blocks
        for receipt in receipts
        if receipt["from"].lower() == mine
    )


def resume(context: Context) -> list[str]:
    """Resumes the open journal entries; returns the outcome of each."""
    from ape_dtn.journal import executor
    from ape_dtn.sessions.operations import operation_of

    open_ones = executor.unfinished(context.ai, context.account)
    return [
        outcome.code if isinstance(outcome, Exception) else "done"
        for _, outcome in executor.resume(context.ai, context.account, open_ones, operation_of)
    ]


def read_state(context: Context) -> dict[str, Any]:
    """The account's balances, sessions, events and nonce on the chain."""
    from ape_dtn import DtnSession
    from ape_dtn.chain import reads, rpc
    from ape_dtn.chain.reads import Call
    from ape_dtn.network.abi import ERC20, Router, SessionManager
    from ape_dtn.network.client_contract import client_of
    from ape_dtn.types.rpc import Request, as_int

    provider, contracts = context.ai.provider, context.ai.contracts()
    account = str(context.account.address)
    client, token, manager = client_of(account), contracts.fee_token, contracts.session_manager
    calls = [
        *(Call(token, ERC20.balance_of, (holder,)) for holder in (account, client)),
        Call(token, ERC20.balance_of, (contracts.fee_target,)),
        Call(token, ERC20.allowance, (account, client)),
    ]
    states: list[Request] = [
        ("eth_getTransactionCount", [str(context.sender.address), "latest"]),
        ("eth_getCode", [account, "latest"]),
        ("eth_getCode", [client, "latest"]),
        ("txpool_status", []),
    ]
    events: Mapping[str, Any] = {
        "started": (manager, SessionManager.session_started, "sessionId", "owner", "balance"),
        "closed": (manager, SessionManager.session_closed, "sessionId", "remainingBalance"),
        "requests": (context.ai.router, Router.request_created, "sessionId"),
        "transfers": (token, ERC20.transferred, "from", "to", "value"),
    }
    queries: list[Request] = [
        ("eth_getLogs", [{"address": address, "topics": [event.topic], "fromBlock": "0x0"}])
        for address, event, *_ in events.values()
    ]
    # One HTTP request, because this runs after each interruption.
    answers = rpc.ask(provider, [*(call.request for call in calls), *states, *queries])
    read, state, logs = rpc.in_parts(answers, len(calls), len(states))
    held, of_client, deposited, allowance = reads.expect_all(reads.decode_all(calls, read))
    nonce, code, client_code, mempool = map(rpc.expect, state)
    happened = {}
    for (name, (_, event, *fields)), found in zip(events.items(), logs, strict=True):
        decoded = [event.decode(reads.to_log(raw)) for raw in rpc.expect(found)]
        happened[name] = [[str(values[field]) for field in fields] for values in decoded]
    sessions = DtnSession.list(account, context.ai)
    return {
        "held": held,
        "held by the client": of_client,
        "unclaimed": deposited - sum(balance.units for _, balance in sessions),
        "allowance": allowance,
        "sessions": [[session.id, balance.units] for session, balance in sessions],
        **happened,
        "nonce": as_int(nonce),
        "code": code,
        "client code": client_code,
        "in the mempool": mempool,
    }


def journal(context: Context) -> list[dict[str, Any]]:
    from ape_dtn.journal import executor
    from ape_dtn.journal.store import State

    found = executor.journal_of(context.ai, context.account).entries(*State)
    return [
        {
            "kind": entry.kind,
            "state": entry.state.value,
            "outcome": entry.outcome,
            "signed": [[signed.hash, signed.nonce] for signed in entry.signed],
        }
        for entry in found
    ]


def transact(
    context: Context, nonce: int, to: str | None = None, data: str = "", gas: int = 21_000
) -> str:
    """Sends a transaction with a high fee, as the user's wallet would; returns its hash.

    Args:
        context: The context.
        nonce: The nonce.
        to: The recipient; by default the account itself.
        data: The call data.
        gas: The gas limit.
    """
    from ape_dtn.chain import rpc

    account, provider = context.sender, context.ai.provider
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


def _session(context: Context, session: int) -> Any:
    from ape_dtn import DtnSession

    return DtnSession(context.ai, session, context.account)


TASKS: Mapping[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        deploy_network,
        plan,
        start,
        delegate_to_executor,
        create_safe,
        deposit,
        claim,
        request,
        request_many,
        answer,
        close,
        ask,
        start_ask_and_close,
        request_until_limit,
        answer_repeatedly,
        costs,
        count_successes,
        run_all,
        run_all_or_errors,
        request_many_or_none,
        watch,
        no_op,
        resume,
        read_state,
        journal,
        transact,
    )
}

# Tasks that use no journal, and so can run in the fork server itself.
TASKS_WITHOUT_JOURNAL = {
    task.__name__ for task in (plan, create_safe, deposit, read_state, transact)
}


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(sys.argv[1])
