"""All that the chain tells of an account and its client, as of one block.

However many sessions and requests there are, it takes 16 HTTP requests at most; more only as the
endpoint limits ranges of blocks and batches, and by one for each hundred tokens that others sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ape_dtn.answers.diagnosis import BlockContext, Candidates, candidates
from ape_dtn.billing import session_index
from ape_dtn.billing.session_index import SessionLifecycle, chunks, order, sure
from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import Call, topic
from ape_dtn.client.ai import DtnAi
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.errors import NothingDeposited
from ape_dtn.network.registry import token_calls
from ape_dtn.network.requests import Record, record_call, to_record
from ape_dtn.network.sessions import exists, session_call
from ape_dtn.requests.gas import native_currency, simulation
from ape_dtn.types.abi import Function, Log
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import NoNetwork
from ape_dtn.types.ids import as_hex
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.transactions import contract_call

# How many topics the transfer of an ERC-20 has, where that of an ERC-721 has one more.
ERC20_TOPICS = 3

# Of how many tokens, the latest that were sent to a client, it is looked whether it has some; of
# how many in one HTTP request; and what gas each may use for it.
MAX_UNKNOWN_TOKENS = 500
UNKNOWN_TOKENS_TOGETHER = 100
BALANCE_GAS = 100_000
BALANCE_BYTES = 32

# As OpenZeppelin's contracts have it.
OWNER = Function("owner()", "address")

_CALLBACKS = (Router.success_callback_failed, Router.failure_callback_failed)


@dataclass(frozen=True)
class Asked:
    """A request of one of the sessions.

    Attributes:
        created: ``RequestCreated``.
        life: The session that it was made on.
        record: What the router keeps of it; None where a later request has taken its id.
        callback_failure: What its callback reverted with; None where it did not.
    """

    created: Log
    life: SessionLifecycle
    record: Record | None
    callback_failure: bytes | None = None

    @property
    def id(self) -> bytes:
        """The request's id."""
        return self.created.topics[1]

    @property
    def is_pending(self) -> bool:
        """Whether the router has it, and no answer to it."""
        return self.record is not None and self.record.status is Status.PENDING


@dataclass(frozen=True)
class Deposit:
    """A bare transfer to a fee target: no session was started in its transaction.

    Attributes:
        moved: ``Transfer``.
        amount: How much.
        holder: Who sent it, the account or its client.
        manager: The session manager whose fee target it went to.
        next_start: The next session that anybody started there, which it became part of.
    """

    moved: Log
    amount: Amount
    holder: str
    manager: str
    next_start: Log | None


@dataclass(frozen=True)
class AccountSnapshot:
    """All that matters, as of one block.

    Attributes:
        ai: The network.
        account: The account.
        client: Its client, whether it was created or not.
        now: The block, and what is behind the router.
        since: The block from which on what is over is told.
        lives: All sessions that the account and its client ever had, under any session manager.
        balances: What is left of those that are open.
        taken_ids: Those of the ids of sessions on former session managers that an open session
            has at the router's present one, which would pay for their requests.
        uncertain: Events of contracts of which the endpoint cannot tell any more whether they were
            session managers.
        network_owner: Who can put another session manager behind the router, where it tells.
        asked: The requests of open sessions, and of those closed lately.
        candidates: The nodes that could answer what is pending.
        deposits: Bare deposits of the account and its client.
        waiting: What waits at the fee target; None where something does and the endpoint does not
            tell how much.
        held: What the client has of each token, and of the chain's coin.
        unknown_tokens: Other tokens that it has some of.
        allowance: What the client may take of the account's.
    """

    ai: DtnAi
    account: str
    client: str
    now: BlockContext
    since: int
    lives: Sequence[SessionLifecycle]
    balances: Mapping[tuple[str, int], Amount]
    taken_ids: frozenset[int]
    uncertain: Sequence[Log]
    network_owner: str | None
    asked: Sequence[Asked]
    candidates: Candidates
    deposits: Sequence[Deposit]
    waiting: Amount | None
    held: Sequence[Amount]
    unknown_tokens: Sequence[str]
    allowance: Amount


def scan(
    ai: DtnAi, account: str, since: int | None, lately: int, tokens: Sequence[str]
) -> AccountSnapshot:
    """Reads all that the chain tells of an account.

    Args:
        ai: The network.
        account: Its checksummed address.
        since: The block from which on what is over is told; None for the latest blocks.
        lately: How many those are.
        tokens: Tokens that may be in the client, beside those of session managers.

    Raises:
        NoContractAtAddress: One of the tokens is none.
        RpcRefused: The endpoint does not serve the events.
    """
    contracts = ai.contracts()
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), contracts)
    holders = account, client_of(account)
    started = reads.logs(
        ai.provider,
        None,
        [SessionManager.session_started.topic, None, [_topic(each) for each in holders]],
        ai.deployment.first_block,
        now.block,
    )
    ids = list(dict.fromkeys(int.from_bytes(log.topics[1], "big") for log in started))
    # With those of others, who may have had the same ids under other session managers.
    found, doubtful = session_index.find(
        ai, ids, contracts.session_manager, now.block, charges=False
    )
    mine = [each for each in found if each.owner in holders]
    targets = _fee_targets(ai, now, mine)
    state = _read_state(ai, now, holders, mine, [*targets, *tokens])
    first = max(now.block - lately, 0) if since is None else since
    told = [each for each in mine if each.closed is None or each.closed.block_number >= first]
    asked = _asked(ai, now, told, found)
    pending = [each.record for each in asked if each.record and each.is_pending]
    return AccountSnapshot(
        ai=ai,
        account=account,
        client=holders[1],
        now=now,
        since=first,
        lives=mine,
        balances=state.balances,
        taken_ids=state.taken_ids,
        uncertain=[log for log in started if log.address in doubtful],
        network_owner=state.network_owner,
        asked=asked,
        candidates=candidates(ai, now, pending),
        deposits=_deposits(ai, now, mine, holders, targets, state.tokens),
        waiting=state.waiting,
        held=state.held,
        unknown_tokens=_unknown_tokens(ai, now, holders[1], state.tokens),
        allowance=state.allowance,
    )


# The session managers and their fee targets, by their tokens.
_Targets = Mapping[str, Mapping[str, str]]


def _fee_targets(ai: DtnAi, now: BlockContext, mine: Sequence[SessionLifecycle]) -> _Targets:
    """Where deposits can have gone: for each token, the session managers by their fee targets."""
    current = now.contracts.session_manager
    managers = (*ai.deployment.session_managers, *(each.manager for each in mine))
    former = [each for each in dict.fromkeys(managers) if each != current]
    calls = [
        Call(each, function, contract="session manager", block=now.block)
        for each in former
        for function in (SessionManager.get_fee_token, SessionManager.get_fee_target)
    ]
    answers = iter(ai.try_read(*calls))
    targets = {now.contracts.fee_token: {now.contracts.fee_target: current}}
    for manager in former:
        token, target = next(answers), next(answers)
        # One of the packaged ones may not be there, as on a fork of an old block.
        if isinstance(token, str) and isinstance(target, str):
            targets.setdefault(token, {})[target] = manager
    return targets


@dataclass(frozen=True)
class _State:
    """What views tell, in one HTTP request; see :class:`AccountSnapshot`."""

    tokens: Mapping[str, Token]
    balances: Mapping[tuple[str, int], Amount]
    taken_ids: frozenset[int]
    network_owner: str | None
    waiting: Amount | None
    held: Sequence[Amount]
    allowance: Amount


def _read_state(
    ai: DtnAi,
    now: BlockContext,
    holders: tuple[str, str],
    mine: Sequence[SessionLifecycle],
    tokens: Sequence[str],
) -> _State:
    contracts, (account, client) = now.contracts, holders
    current, fee_token = contracts.session_manager, contracts.fee_token
    tokens = list(dict.fromkeys([*tokens, *(each.token for each in mine)]))
    still_open = [each for each in mine if each.closed is None]
    former_ids = list(dict.fromkeys(each.id for each in mine if each.manager != current))
    start = Call(ai.router, Router.start_user_session, (), "router", account)
    calls = [
        # First, for its error: what was given may be no token.
        *(Call(token, ERC20.balance_of, (client,), "token") for token in tokens),
        *(call for token in tokens for call in token_calls(token)),
        Call(fee_token, ERC20.allowance, (account, client), "fee token"),
        *(session_call(each.manager, each.id) for each in still_open),
        *(session_call(current, each) for each in former_ids),
        start,
        Call(ai.router, OWNER),
    ]
    # A start is simulated where it stands: on what is waiting by then.
    calls = [each if each is start else replace(each, block=now.block) for each in calls]
    coin_held, simulated, *answers = rpc.ask(
        ai.provider,
        [
            ("eth_getBalance", [client, hex(now.block)]),
            simulation(account, {"start": contract_call(ai.router, Router.start_user_session)}, {}),
            *(each.request for each in calls),
        ],
    )
    seen = iter(reads.decode_all(calls, answers, reverts.NO_CONTEXT))
    units = {each: sure(next(seen)) for each in tokens}
    described = {each: Token(each, sure(next(seen)), sure(next(seen))) for each in tokens}
    held = [described[each].units(units[each]) for each in tokens]
    allowance = described[fee_token].units(sure(next(seen)))
    balances = {
        (each.manager, each.id): described[each.token].units(sure(next(seen))[1])
        for each in still_open
    }
    taken_ids = frozenset(each for each in former_ids if exists(sure(next(seen))[0]))
    started, network_owner = next(seen), next(seen)
    return _State(
        tokens=described,
        balances=balances,
        taken_ids=taken_ids,
        network_owner=network_owner if isinstance(network_owner, str) else None,
        waiting=_waiting(described[fee_token], current, started, simulated),
        held=[*held, native_currency(ai.provider).units(as_int(rpc.expect(coin_held)))],
        allowance=allowance,
    )


def _waiting(token: Token, manager: str, started: Any, simulated: Any) -> Amount | None:
    """What a session would be opened with that were started now; None where nobody tells.

    The contracts have no view of it. A call of the start tells whether anything waits, and a
    simulation, which not all endpoints serve, how much.
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
    """Tokens that the client has besides those that are known, of all that were ever sent to it.

    They are contracts of anybody: nothing that they say, or do not say, may hinder a rescue.
    """
    try:
        return _find_unknown_tokens(ai, now, client, known)
    except NoNetwork:  # somebody has made more of them than an endpoint tells of
        return []


def _find_unknown_tokens(
    ai: DtnAi, now: BlockContext, client: str, known: Mapping[str, Token]
) -> list[str]:
    moved = reads.logs(
        ai.provider,
        None,
        [ERC20.transferred.topic, None, _topic(client)],
        ai.deployment.first_block,
        now.block,
    )
    sent = dict.fromkeys(log.address for log in moved if len(log.topics) == ERC20_TOPICS)
    others = [each for each in sent if each not in known][-MAX_UNKNOWN_TOKENS:]
    found = []
    for start in range(0, len(others), UNKNOWN_TOKENS_TOGETHER):
        some = others[start : start + UNKNOWN_TOKENS_TOGETHER]
        held = rpc.ask(ai.provider, [_balance_of(each, client, now) for each in some])
        found += [each for each, answer in zip(some, held, strict=True) if _is_some(answer)]
    return found


def _balance_of(token: str, client: str, now: BlockContext) -> Request:
    method, (call, block) = Call(token, ERC20.balance_of, (client,), block=now.block).request
    return method, [{**call, "gas": hex(BALANCE_GAS)}, block]


def _is_some(balance: Any) -> bool:
    """Whether what a contract says to be a balance is one, and not zero."""
    if isinstance(balance, Failure):
        return False
    data = as_bytes(balance)
    return len(data) == BALANCE_BYTES and any(data)


def _asked(
    ai: DtnAi,
    now: BlockContext,
    told: Sequence[SessionLifecycle],
    found: Sequence[SessionLifecycle],
) -> list[Asked]:
    """The requests of some sessions, in the order of the chain.

    Args:
        ai: The network.
        now: The block as of which they are read.
        told: The sessions.
        found: All sessions that have their ids, under any session manager.
    """
    ids = list(dict.fromkeys(topic(each.id) for each in told))
    first = min((each.started.block_number for each in told), default=now.block)
    created = _logs(ai, now, ai.router, [Router.request_created.topic, None], ids, first)
    doubtful = session_index.unclear(created, found)
    calls = {
        log.topics[1]: replace(record_call(ai, log.topics[1]), block=now.block) for log in created
    }
    answers = iter(
        ai.try_read(
            *calls.values(),
            *(session_index.asked_then(ai, log) for log in doubtful),
        )
    )
    records = {each: to_record(sure(next(answers))) for each in calls}
    then = dict(zip(doubtful, answers, strict=True))
    latest = {log.topics[1]: log for log in created}
    keys = {(each.manager, each.id) for each in told}
    asked = []
    for log in created:
        life = session_index.payer(log, found, then.get(log))
        if life and (life.manager, life.id) in keys:
            record = records[log.topics[1]] if latest[log.topics[1]] is log else None
            asked.append(Asked(log, life, record))
    return _with_callback_failures(ai, now, asked)


def _with_callback_failures(ai: DtnAi, now: BlockContext, asked: Sequence[Asked]) -> list[Asked]:
    called_back = {
        as_hex(each.id): each.created.block_number
        for each in asked
        if each.record and each.record.has_callback and not each.is_pending
    }
    first = min(called_back.values(), default=now.block)
    kinds = [[each.topic for each in _CALLBACKS]]
    failed = {
        log.topics[1]: event.decode(log)["data"]
        for log in _logs(ai, now, ai.router, kinds, list(called_back), first)
        for event in _CALLBACKS
        if event.matches(log)
    }
    return [replace(each, callback_failure=failed.get(each.id)) for each in asked]


def _deposits(
    ai: DtnAi,
    now: BlockContext,
    mine: Sequence[SessionLifecycle],
    holders: tuple[str, str],
    targets: _Targets,
    tokens: Mapping[str, Token],
) -> list[Deposit]:
    """The bare deposits, in the order of the chain."""
    moved = reads.logs(
        ai.provider,
        list(targets),
        [
            ERC20.transferred.topic,
            [_topic(each) for each in holders],
            [_topic(each) for some in targets.values() for each in some],
        ],
        ai.deployment.first_block,
        now.block,
    )
    started_with = {(each.started.transaction, each.manager) for each in mine}
    bare = []
    for log in moved:
        fields = ERC20.transferred.decode(log)
        manager = targets[log.address].get(fields["to"])
        if manager and fields["value"] and (log.transaction, manager) not in started_with:
            amount = tokens[log.address].units(fields["value"])
            bare.append(Deposit(log, amount, fields["from"], manager, None))
    if not bare:
        return []
    starts = reads.logs(
        ai.provider,
        list(dict.fromkeys(each.manager for each in bare)),
        [SessionManager.session_started.topic],
        bare[0].moved.block_number,
        now.block,
    )
    return [replace(each, next_start=_next(each, starts)) for each in bare]


def _next(deposit: Deposit, starts: Sequence[Log]) -> Log | None:
    later = (
        log
        for log in starts
        if log.address == deposit.manager and order(log) > order(deposit.moved)
    )
    return next(later, None)


def _logs(
    ai: DtnAi,
    now: BlockContext,
    address: str,
    topics: Sequence[Any],
    alternatives: Sequence[str],
    first: int,
) -> list[Log]:
    """The logs whose last topic is one of several, in the order of the chain."""
    found = (
        log
        for some in chunks(alternatives)
        for log in reads.logs(ai.provider, address, [*topics, some], first, now.block)
    )
    return sorted(found, key=order)


def _topic(address: str) -> str:
    """An indexed address, as a log's topic has it."""
    return "0x" + address[2:].lower().rjust(64, "0")
