"""A snapshot of what an account and its client have on the network, as of one block.

It takes at most 16 HTTP requests. Limits of the endpoint on block ranges and batches add to them,
and every 100 unknown tokens that were sent to the client add one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ape_dtn.answers.diagnosis import BlockContext, Candidates, candidates
from ape_dtn.billing import session_index
from ape_dtn.billing.session_index import SessionLifecycle, chunks, order, value_of
from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import Call, topic
from ape_dtn.client.ai import DtnAi
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.errors import NothingDeposited
from ape_dtn.network.registry import token_calls
from ape_dtn.network.requests import Record, record_call, to_record
from ape_dtn.network.sessions import exists, logs_of_all_managers, session_call
from ape_dtn.requests.gas import native_currency, simulation
from ape_dtn.types.abi import Function, Log
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import NoNetwork
from ape_dtn.types.ids import as_hex
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.transactions import contract_call

# Topics of an ERC-20 transfer. An ERC-721 transfer has one more.
ERC20_TOPICS = 3

# Unknown tokens in the client: how many are checked (the latest), how many in one HTTP request,
# and the gas for each balance call.
MAX_UNKNOWN_TOKENS = 500
UNKNOWN_TOKENS_TOGETHER = 100
BALANCE_GAS = 100_000
BALANCE_BYTES = 32

# OpenZeppelin's Ownable.
OWNER = Function("owner()", "address")

_CALLBACKS = (Router.success_callback_failed, Router.failure_callback_failed)


@dataclass(frozen=True)
class SessionRequest:
    """A request on one of the sessions.

    Attributes:
        created: Its ``RequestCreated`` event.
        record: The router's record; None if a later request took over its id.
        callback_failure: The revert data of its callback; None if the callback did not revert.
    """

    created: Log
    session: SessionLifecycle
    record: Record | None
    callback_failure: bytes | None = None

    @property
    def id(self) -> bytes:
        """The request id."""
        return self.created.topics[1]

    @property
    def is_pending(self) -> bool:
        """Whether the router has a record of it without an answer."""
        return self.record is not None and self.record.status is Status.PENDING


@dataclass(frozen=True)
class Deposit:
    """A bare transfer to a fee target: its transaction started no session.

    Attributes:
        holder: The sender: the account or its client.
        manager: The session manager of the fee target.
        next_start: The next session start there by anyone, which took the deposit.
    """

    transfer: Log
    amount: Amount
    holder: str
    manager: str
    next_start: Log | None


@dataclass(frozen=True)
class AccountSnapshot:
    """The state of an account and its client, as of one block.

    Attributes:
        client: The address of its client, which may not exist yet.
        now: The block, and the contracts behind the router.
        since: Closed sessions and taken deposits are reported from this block on.
        sessions: All sessions of the account and its client, on every session manager.
        balances: The balances of open sessions, by session manager and id.
        reused_ids: Ids of sessions on former session managers that an open session on the current
            one has, too. That session would pay for their requests.
        uncertain: Session starts of contracts that the endpoint cannot confirm as session managers.
        network_owner: The owner of the router, if it has one.
        requests: Requests on open sessions, and on sessions closed in or after block ``since``.
        candidates: The nodes that could answer pending requests.
        deposits: Bare deposits of the account and its client.
        waiting: The tokens at the fee target that belong to no session; None if the endpoint does
            not support simulations, which show the amount.
        client_balances: What the client has of each known token, and of native currency.
        unknown_tokens: Other tokens that the client has.
        allowance: The client's allowance for the account's fee tokens.
    """

    ai: DtnAi
    account: str
    client: str
    now: BlockContext
    since: int
    sessions: Sequence[SessionLifecycle]
    balances: Mapping[tuple[str, int], Amount]
    reused_ids: frozenset[int]
    uncertain: Sequence[Log]
    network_owner: str | None
    requests: Sequence[SessionRequest]
    candidates: Candidates
    deposits: Sequence[Deposit]
    waiting: Amount | None
    client_balances: Sequence[Amount]
    unknown_tokens: Sequence[str]
    allowance: Amount


def scan(
    ai: DtnAi, account: str, since: int | None, recent_blocks: int, tokens: Sequence[str]
) -> AccountSnapshot:
    """Read the state of an account and its client.

    Args:
        ai: The network.
        account: The checksummed address.
        since: Closed sessions and taken deposits are reported from this block on.
        recent_blocks: The number of blocks to report if ``since`` is None.
        tokens: Further tokens to look for in the client.

    Raises:
        NoContractAtAddress: There is no token at an address.
        RpcRefused: The endpoint does not serve the events.
    """
    contracts = ai.contracts()
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), contracts)
    holders = account, client_of(account)
    started = logs_of_all_managers(
        ai,
        contracts.session_manager,
        [SessionManager.session_started.topic, None, [_topic(holder) for holder in holders]],
        now.block,
    )
    ids = list(dict.fromkeys(int.from_bytes(log.topics[1], "big") for log in started))
    # This includes sessions of other owners with the same ids, on other session managers.
    with_ids, unconfirmed = session_index.find(
        ai, ids, contracts.session_manager, now.block, charges=False
    )
    sessions = [session for session in with_ids if session.owner in holders]
    targets = _fee_targets(ai, now, sessions)
    state = _read_state(ai, now, holders, sessions, [*targets, *tokens])
    first = max(now.block - recent_blocks, 0) if since is None else since
    reported = [
        session
        for session in sessions
        if session.closed is None or session.closed.block_number >= first
    ]
    requests = _requests(ai, now, reported, with_ids)
    pending = [request.record for request in requests if request.record and request.is_pending]
    return AccountSnapshot(
        ai=ai,
        account=account,
        client=holders[1],
        now=now,
        since=first,
        sessions=sessions,
        balances=state.balances,
        reused_ids=state.reused_ids,
        uncertain=[log for log in started if log.address in unconfirmed],
        network_owner=state.network_owner,
        requests=requests,
        candidates=candidates(ai, now, pending),
        deposits=_deposits(ai, now, sessions, holders, targets, state.tokens),
        waiting=state.waiting,
        client_balances=state.client_balances,
        unknown_tokens=_unknown_tokens(ai, now, holders[1], state.tokens),
        allowance=state.allowance,
    )


# For each fee token, the fee targets and their session managers.
_Targets = Mapping[str, Mapping[str, str]]


def _fee_targets(ai: DtnAi, now: BlockContext, sessions: Sequence[SessionLifecycle]) -> _Targets:
    """Read the fee targets of the current and the former session managers."""
    current = now.contracts.session_manager
    managers = (*ai.deployment.session_managers, *(session.manager for session in sessions))
    former = [manager for manager in dict.fromkeys(managers) if manager != current]
    calls = [
        Call(manager, function, contract="session manager", block=now.block)
        for manager in former
        for function in (SessionManager.get_fee_token, SessionManager.get_fee_target)
    ]
    answers = iter(ai.try_read(*calls))
    targets = {now.contracts.fee_token: {now.contracts.fee_target: current}}
    for manager in former:
        token, target = next(answers), next(answers)
        # A packaged session manager may not exist, for example on a fork of an old block.
        if isinstance(token, str) and isinstance(target, str):
            targets.setdefault(token, {})[target] = manager
    return targets


@dataclass(frozen=True)
class _State:
    """What views return, in one HTTP request; see :class:`AccountSnapshot`."""

    tokens: Mapping[str, Token]
    balances: Mapping[tuple[str, int], Amount]
    reused_ids: frozenset[int]
    network_owner: str | None
    waiting: Amount | None
    client_balances: Sequence[Amount]
    allowance: Amount


def _read_state(
    ai: DtnAi,
    now: BlockContext,
    holders: tuple[str, str],
    sessions: Sequence[SessionLifecycle],
    tokens: Sequence[str],
) -> _State:
    contracts, (account, client) = now.contracts, holders
    current, fee_token = contracts.session_manager, contracts.fee_token
    tokens = list(dict.fromkeys([*tokens, *(session.token for session in sessions)]))
    still_open = [session for session in sessions if session.closed is None]
    former_ids = list(
        dict.fromkeys(session.id for session in sessions if session.manager != current)
    )
    start = Call(ai.router, Router.start_user_session, (), "router", account)
    calls = [
        # Read the balances first: they give a clearer error if an address has no token.
        *(Call(token, ERC20.balance_of, (client,), "token") for token in tokens),
        *(call for token in tokens for call in token_calls(token)),
        Call(fee_token, ERC20.allowance, (account, client), "fee token"),
        *(session_call(session.manager, session.id) for session in still_open),
        *(session_call(current, session_id) for session_id in former_ids),
        start,
        Call(ai.router, OWNER),
    ]
    # Call the start on the latest block, as a real start would run, and all views at ``now``.
    calls = [call if call is start else replace(call, block=now.block) for call in calls]
    native_balance, simulated, *answers = rpc.ask(
        ai.provider,
        [
            ("eth_getBalance", [client, hex(now.block)]),
            simulation(account, {"start": contract_call(ai.router, Router.start_user_session)}, {}),
            *(call.request for call in calls),
        ],
    )
    values = iter(reads.decode_all(calls, answers, reverts.NO_CONTEXT))
    units = {token: value_of(next(values)) for token in tokens}
    described = {
        token: Token(token, value_of(next(values)), value_of(next(values))) for token in tokens
    }
    client_balances = [described[token].units(units[token]) for token in tokens]
    allowance = described[fee_token].units(value_of(next(values)))
    balances = {
        (session.manager, session.id): described[session.token].units(value_of(next(values))[1])
        for session in still_open
    }
    reused_ids = frozenset(
        session_id for session_id in former_ids if exists(value_of(next(values))[0])
    )
    started, network_owner = next(values), next(values)
    native = native_currency(ai.provider).units(as_int(rpc.expect(native_balance)))
    return _State(
        tokens=described,
        balances=balances,
        reused_ids=reused_ids,
        network_owner=network_owner if isinstance(network_owner, str) else None,
        waiting=_waiting(described[fee_token], current, started, simulated),
        client_balances=[*client_balances, native],
        allowance=allowance,
    )


def _waiting(token: Token, manager: str, started: Any, simulated: Any) -> Amount | None:
    """Return the balance that a session started now would have; None if it is unknown.

    No view returns that balance. A call of the start reverts if it is zero. A simulation of the
    start shows the amount, but not all endpoints support simulations.
    """
    if isinstance(started, NothingDeposited):
        return token.units(0)
    if isinstance(simulated, Failure):
        return None
    logs = [reads.to_log(raw) for block in simulated for raw in block["calls"][0]["logs"]]
    opened = SessionManager.session_started.find(logs, manager)
    return token.units(opened[0]["balance"]) if opened else None


def _unknown_tokens(
    ai: DtnAi, now: BlockContext, client: str, known: Mapping[str, Token]
) -> list[str]:
    """Return the other tokens that the client has. They are untrusted: ignore any failure."""
    try:
        return _find_unknown_tokens(ai, now, client, known)
    except NoNetwork:  # an attacker can create more transfers than an endpoint returns
        return []


def _find_unknown_tokens(
    ai: DtnAi, now: BlockContext, client: str, known: Mapping[str, Token]
) -> list[str]:
    transfers = reads.logs(
        ai.provider,
        None,
        [ERC20.transferred.topic, None, _topic(client)],
        ai.deployment.first_block,
        now.block,
    )
    received = dict.fromkeys(log.address for log in transfers if len(log.topics) == ERC20_TOPICS)
    unknown = [token for token in received if token not in known][-MAX_UNKNOWN_TOKENS:]
    found = []
    for start in range(0, len(unknown), UNKNOWN_TOKENS_TOGETHER):
        batch = unknown[start : start + UNKNOWN_TOKENS_TOGETHER]
        balances = rpc.ask(ai.provider, [_balance_request(token, client, now) for token in batch])
        found += [
            token for token, balance in zip(batch, balances, strict=True) if _is_nonzero(balance)
        ]
    return found


def _balance_request(token: str, client: str, now: BlockContext) -> Request:
    method, (call, block) = Call(token, ERC20.balance_of, (client,), block=now.block).request
    return method, [{**call, "gas": hex(BALANCE_GAS)}, block]


def _is_nonzero(balance: Any) -> bool:
    """Whether the result of an untrusted contract is a balance other than zero."""
    if isinstance(balance, Failure):
        return False
    data = as_bytes(balance)
    return len(data) == BALANCE_BYTES and any(data)


def _requests(
    ai: DtnAi,
    now: BlockContext,
    sessions: Sequence[SessionLifecycle],
    with_ids: Sequence[SessionLifecycle],
) -> list[SessionRequest]:
    """Read the requests on sessions, in the order of the chain.

    ``with_ids`` are all sessions with the ids of these, on every session manager.
    """
    ids = list(dict.fromkeys(topic(session.id) for session in sessions))
    first = min((session.started.block_number for session in sessions), default=now.block)
    created = _logs(ai, now, ai.router, [Router.request_created.topic, None], ids, first)
    ambiguous = session_index.ambiguous_requests(created, with_ids)
    calls = {
        log.topics[1]: replace(record_call(ai, log.topics[1]), block=now.block) for log in created
    }
    answers = iter(
        ai.try_read(
            *calls.values(),
            *(session_index.manager_call(ai, log) for log in ambiguous),
        )
    )
    records = {request_id: to_record(value_of(next(answers))) for request_id in calls}
    managers = dict(zip(ambiguous, answers, strict=True))
    latest = {log.topics[1]: log for log in created}
    keys = {(session.manager, session.id) for session in sessions}
    requests = []
    for log in created:
        session = session_index.payer(log, with_ids, managers.get(log))
        if session and (session.manager, session.id) in keys:
            record = records[log.topics[1]] if latest[log.topics[1]] is log else None
            requests.append(SessionRequest(log, session, record))
    return _with_callback_failures(ai, now, requests)


def _with_callback_failures(
    ai: DtnAi, now: BlockContext, requests: Sequence[SessionRequest]
) -> list[SessionRequest]:
    called_back = {
        as_hex(request.id): request.created.block_number
        for request in requests
        if request.record and request.record.has_callback and not request.is_pending
    }
    first = min(called_back.values(), default=now.block)
    topics = [[event.topic for event in _CALLBACKS]]
    failures = {
        log.topics[1]: event.decode(log)["data"]
        for log in _logs(ai, now, ai.router, topics, list(called_back), first)
        for event in _CALLBACKS
        if event.matches(log)
    }
    return [replace(request, callback_failure=failures.get(request.id)) for request in requests]


def _deposits(
    ai: DtnAi,
    now: BlockContext,
    sessions: Sequence[SessionLifecycle],
    holders: tuple[str, str],
    targets: _Targets,
    tokens: Mapping[str, Token],
) -> list[Deposit]:
    """Read the bare deposits, in the order of the chain."""
    transfers = reads.logs(
        ai.provider,
        list(targets),
        [
            ERC20.transferred.topic,
            [_topic(holder) for holder in holders],
            [_topic(target) for by_target in targets.values() for target in by_target],
        ],
        ai.deployment.first_block,
        now.block,
    )
    started_with = {(session.started.transaction, session.manager) for session in sessions}
    deposits = []
    for log in transfers:
        fields = ERC20.transferred.decode(log)
        manager = targets[log.address].get(fields["to"])
        if manager and fields["value"] and (log.transaction, manager) not in started_with:
            amount = tokens[log.address].units(fields["value"])
            deposits.append(Deposit(log, amount, fields["from"], manager, None))
    if not deposits:
        return []
    starts = reads.logs(
        ai.provider,
        list(dict.fromkeys(deposit.manager for deposit in deposits)),
        [SessionManager.session_started.topic],
        deposits[0].transfer.block_number,
        now.block,
    )
    return [replace(deposit, next_start=_next_start(deposit, starts)) for deposit in deposits]


def _next_start(deposit: Deposit, starts: Sequence[Log]) -> Log | None:
    later = (
        log
        for log in starts
        if log.address == deposit.manager and order(log) > order(deposit.transfer)
    )
    return next(later, None)


def _logs(
    ai: DtnAi,
    now: BlockContext,
    address: str,
    topics: Sequence[Any],
    last_topics: Sequence[str],
    first: int,
) -> list[Log]:
    """Read logs with any of the last topics, in the order of the chain."""
    found = (
        log
        for batch in chunks(last_topics)
        for log in reads.logs(ai.provider, address, [*topics, batch], first, now.block)
    )
    return sorted(found, key=order)


def _topic(address: str) -> str:
    """Encode an address as a topic."""
    return "0x" + address[2:].lower().rjust(64, "0")
