"""Everything that can go wrong, one class a cause.

All of it descends from :class:`DtnError`, which descends from Ape's own root, so that the command
line prints it as a clean error. The same classes are raised on every behaviour of the network, for
what is refused before sending, for what fails at gas estimation and for what fails once mined.

``code`` names the cause for machines, ``exit_code`` is what ``ape dtn`` exits with, and ``hint``
says what mends it. Where a contract reverted, ``revert`` holds its decoded error and raw data.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from ape.exceptions import ApeException

if TYPE_CHECKING:
    from ape_dtn.amount import Amount
    from ape_dtn.chain.reverts import Revert
    from ape_dtn.chain.sends import Receipt

# Exit codes. 1 is left to what nobody foresaw, and 2 is also what click uses for wrong usage.
BAD_INPUT = 2
NO_NETWORK = 3
REFUSED = 4
NO_ANSWER_YET = 5
NODE_FAILED = 6
UNKNOWN_OUTCOME = 7


class DtnError(ApeException):
    """The root of all errors of this package."""

    exit_code: ClassVar[int] = 1
    hint: str | None = None
    revert: Revert | None = None
    # Of transactions that belong together, the receipts of those that succeeded before this.
    before: tuple[Receipt, ...] = ()

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.__dict__.update(fields)

    @property
    def code(self) -> str:
        """The cause, for machines: ``SessionNotFound`` becomes ``session_not_found``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data: code, message, hint, the typed fields and the revert."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            **self.fields,
            "revert": self.revert.as_dict() if self.revert else None,
        }


# What the user typed.


class BadInput(DtnError):
    """Something given is wrong in itself, whatever the chain holds."""

    exit_code = BAD_INPUT


class InvalidAmount(BadInput):
    """An amount that is no amount: zero, negative, not a number, or of a type that is ambiguous."""

    value: str
    reason: str

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"'{value}' is not an amount: {reason}.", value=str(value), reason=reason)


class TooManyDecimals(InvalidAmount):
    """An amount with more digits than its token has."""

    def __init__(self, value: object, symbol: str, decimals: int) -> None:
        super().__init__(value, f"{symbol} has {decimals} digits after the point")


class KeyReused(BadInput):
    """An idempotency key that stands for something else already. Nothing was sent."""

    key: str

    def __init__(self, key: str, kind: str) -> None:
        super().__init__(
            f"The idempotency key '{key}' was given to another {kind} before.", key=key
        )
        self.hint = (
            "Use a new key for each thing that is to happen once. `ape dtn journal --all` shows "
            "what it stands for."
        )


class WrongToken(InvalidAmount):
    """An amount in a token that the network is not paid with."""

    def __init__(self, value: object, symbol: str) -> None:
        super().__init__(value, f"this network is paid in {symbol}")


class FeeTooHigh(BadInput):
    """A fee per byte at which the question alone would cost more than the answer may."""

    fee: str
    asked: str
    most: str

    def __init__(self, fee: Amount, asked: Amount, most: Amount) -> None:
        super().__init__(
            f"At {fee} a byte the question alone costs {asked}, and the answer may cost no more "
            f"than {most}.",
            fee=str(fee),
            asked=str(asked),
            most=str(most),
        )
        token = fee.token
        self.hint = (
            "Ask less, lower --fee-per-byte or raise --cap. "
            f"{token.symbol} has {token.decimals} decimals: amounts are in whole tokens, as in "
            f'"0.00001 {token.symbol}", not in its smallest units.'
        )


class EmptyPrompt(BadInput):
    """A prompt without a single character."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty: it would be paid for and answer nothing.")


class InvalidPrompt(BadInput):
    """A prompt whose placeholders and values do not fit each other."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The prompt cannot be read by a node: {reason}.", reason=reason)
        self.hint = 'Give the values: Prompt("Is {0:address} older than {1:uint8}?", owner, 26).'


class InvalidName(BadInput):
    """A model, node or id that is neither a full name nor 32 bytes."""

    name: str

    def __init__(self, name: object, kind: str, example: str) -> None:
        super().__init__(
            f"'{name}' names no {kind}: write it as in '{example}', or give the 32-byte id.",
            name=str(name),
        )


class InvalidAddress(BadInput):
    """Something that is no address, where one is wanted."""

    def __init__(self, value: object) -> None:
        super().__init__(f"'{value}' is not an address.", value=str(value))


class InvalidCall(BadInput):
    """Inputs that do not fit the types of the model's API."""

    specs: str

    def __init__(self, specs: str, reason: str) -> None:
        super().__init__(f"The inputs do not fit '{specs}': {reason}.", specs=specs)


class NobodyTrusted(BadInput):
    """No nodes were named on a public network, where anybody can register one."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            "No trusted nodes are named. On a public network anybody can register a node, answer "
            "first, and take as much as the answer may cost.",
            model=model,
        )
        self.hint = (
            f"Choose among `ape dtn nodes --model {model}`, then name them with --node, or under "
            "`dtn: nodes:` in ape-config.yaml."
        )


class InvalidCursor(BadInput):
    """A saved cursor that is none, or that of another network."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The cursor cannot be resumed from: {reason}.", reason=reason)
        self.hint = "Begin anew without it; what was seen before will come again."


class InvalidCid(BadInput):
    """A content identifier that is none, or of a kind that cannot be checked."""

    cid: str

    def __init__(self, cid: str, reason: str) -> None:
        super().__init__(f"'{cid}' is no usable content identifier: {reason}.", cid=cid)


class BackendFailed(DtnError):
    """A node's backend has no answer. What it says goes to whoever asked, as a FAILURE."""

    exit_code = NODE_FAILED


class BackendUnavailable(BackendFailed):
    """A node's backend could not be reached, or is busy: it may have an answer later.

    ``retry_after`` says in how many seconds, where the backend does.
    """

    retry_after: float | None = None


class InvalidBackend(BadInput):
    """A node's backend cannot be used as it is configured. ``backend`` is what it is for."""

    backend: str
    reason: str

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(
            f"The backend for '{backend}' cannot be used: {reason}.", backend=backend, reason=reason
        )
        self.hint = "Look at --backend, or at `dtn: backends:` in ape-config.yaml."


class NoBackend(BadInput):
    """A node serves a model, and nothing is configured that answers for it."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(f"No backend is configured for model {model}.", model=model)
        self.hint = (
            'Name one under `dtn: backends:` in ape-config.yaml, "*" for all models, or pass '
            "--backend."
        )


class StoreUnavailable(BackendUnavailable):
    """An answer's content could not be kept on IPFS now: it may be possible later."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not kept on IPFS: {reason}.", where=where, reason=reason)
        self.hint = f"Look at {where}; `dtn: ipfs_store:` says what is used."


class StoreRefused(BackendFailed):
    """What was to keep an answer's content on IPFS does not want to, and will not later."""

    where: str
    reason: str

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Not kept on IPFS: {reason}.", where=where, reason=reason)
        self.hint = f"Look at {where}; `dtn: ipfs_store:` says what is used."


class WrongCid(StoreRefused):
    """A store calls the content something else than it is: nobody would find it by that."""

    cid: str
    given: str

    def __init__(self, where: str, cid: str, given: str) -> None:
        super().__init__(where, "the store gave another identifier")
        self.fields |= {"cid": cid, "given": given}
        self.cid, self.given = cid, given
        self.hint = f"{where} says {given}, and it is {cid}. Is that a Kubo RPC API?"


class NotRecorded(DtnError):
    """A question in a test whose answer was not recorded; ``difference`` says what is otherwise."""

    exit_code = NO_ANSWER_YET
    cassette: str
    difference: str

    def __init__(self, cassette: str, reason: str, difference: str) -> None:
        super().__init__(
            f"{cassette} has no answer: {reason}. --dtn-record new adds it.\n{difference}",
            cassette=cassette,
            difference=difference,
        )
        self.hint = "The real backend is that of --dtn-backend, or of `dtn: backends:`."


class CassetteUnusable(BadInput):
    """A file of recorded answers that cannot be read."""

    cassette: str

    def __init__(self, cassette: str, reason: str) -> None:
        super().__init__(f"{cassette} cannot be used: {reason}.", cassette=cassette)
        self.hint = "Restore it, or remove it and record it anew: --dtn-record once."


class JournalUnusable(DtnError):
    """The journal cannot be read or written, and nothing is sent without it."""

    exit_code = REFUSED
    path: str | None
    reason: str

    def __init__(self, path: str | None, reason: str) -> None:
        where = f" at {path}" if path else ""
        super().__init__(f"The journal{where} cannot be used: {reason}.", path=path, reason=reason)
        self.hint = (
            "Nothing is started, asked or closed before it is written there. Look at the disk; "
            "APE_DATA_FOLDER says where it is."
        )


class MissingExtra(BadInput):
    """Something needs a package that comes with an extra of this one, and is not installed."""

    extra: str

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"What is needed for {what} is not installed.", extra=extra)
        self.hint = f"pip install 'ape-dtn[{extra}]'"


class LedgerUnusable(DtnError):
    """The file in which a node keeps what it has answered cannot be read or written."""

    exit_code = REFUSED

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The node's ledger {path} cannot be used: {reason}.", path=path)
        self.hint = (
            "Where the disk is well and has room, remove it: what is open on the chain is then "
            "found, and answered, anew."
        )


class NotTheWorker(BadInput):
    """An account that is not the worker of a node, whose responses the contracts would refuse."""

    def __init__(self, node: str, worker: str, account: str) -> None:
        super().__init__(f"The worker of {node} is {worker}, and not {account}.", worker=worker)
        self.hint = "Name the account with --worker."


class NotNodeOwner(BadInput):
    """An account that does not own what it wants to change: a node, or the name of its user."""

    def __init__(self, what: str, owner: str, account: str) -> None:
        super().__init__(f"{what} belongs to {owner}, and not to {account}.", owner=owner)
        self.hint = "Sign with its owner's account: --account ALIAS."


class FilesExist(BadInput):
    """Files that were to be written are there already. Nothing was written."""

    paths: list[str]

    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"Nothing was written: {', '.join(paths)} is there.", paths=paths)
        self.hint = "Choose another name, or replace what is there by --force."


class NotWritten(BadInput):
    """Files could not be written, and none of them was."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"Nothing was written: {path}: {reason}.", path=str(path), reason=reason)


class DeploymentUnusable(BadInput):
    """The file of a deployment is not there, cannot be written, or is no such file."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        message = f"{path} is no file of a deployment that can be used: {reason}."
        super().__init__(message, path=str(path), reason=reason)


class DeploymentDiffers(BadInput):
    """The file of a deployment is of another one than is asked for. Nothing was sent."""

    path: str
    differs: list[str]

    def __init__(self, path: object, *differs: str) -> None:
        message = f"{path} is of another deployment, which differs in: {', '.join(differs)}."
        super().__init__(message, path=str(path), differs=list(differs))
        self.hint = (
            "Where it is the contracts, go on with the version of ape-dtn that it was begun with. "
            "For another deployment name another file: --file PATH."
        )


class InvalidOption(BadInput):
    """An option of a request, or several together, that mean nothing."""

    option: str
    reason: str

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"'{option}' cannot be so: {reason}.", option=option, reason=reason)


class NoAccount(BadInput):
    """Something was to be signed, and nobody was named to sign it."""

    def __init__(self) -> None:
        super().__init__("This sends a transaction, and no account is given to sign it.")
        self.hint = "Pass account=…, or --account ALIAS on the command line."


class UnknownContract(BadInput):
    """A contract that is not there, or whose functions are not known."""

    contract: str

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(f"'{contract}' cannot be called: {reason}.", contract=contract)
        self.hint = (
            "Write an address, the name of a contract of the project, or NAME:ADDRESS. Of a "
            "contract that is in no project, --abi FILE tells the functions."
        )


class UnknownMethod(BadInput):
    """A function that a contract does not have, or not for what it is given."""

    method: str
    methods: list[str]

    def __init__(self, method: str, reason: str, methods: list[str]) -> None:
        super().__init__(f"'{method}' cannot be: {reason}.", method=method, methods=methods)
        self.hint = f"There are: {'; '.join(methods)}." if methods else None


# The chain and the contracts.


class NoNetwork(DtnError):
    """The contracts cannot be reached where they were looked for."""

    exit_code = NO_NETWORK


class NotConnected(NoNetwork):
    """Ape is not connected to any network."""

    def __init__(self) -> None:
        super().__init__("Ape is not connected to a network.")
        self.hint = "Use `with networks.parse_network_choice('base:mainnet:node'):`, or --network."


class ChainUnreachable(NoNetwork):
    """The node of the chain did not answer, or answered something that is no JSON-RPC."""

    endpoint: str
    reason: str

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC at {endpoint} did not answer: {reason}",
            endpoint=endpoint,
            reason=reason,
        )
        self.hint = "Check the address in --network or ape-config.yaml, then run it again."


class RpcRefused(NoNetwork):
    """The node of the chain refused a request that is not about a contract."""

    method: str
    reason: str

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(
            f"The chain's RPC refused {method}: {reason}", method=method, reason=reason
        )


class TransactionRefused(RpcRefused):
    """The node of the chain did not take a transaction that is signed.

    It can still be mined: another node may have it, or this one may have taken it all the same. It
    stays in the journal, and in the budgets, until its nonce is used.
    """

    exit_code = UNKNOWN_OUTCOME
    transaction: str | None

    def __init__(self, method: str, reason: str, transaction: str | None = None) -> None:
        super().__init__(method, reason)
        self.transaction = self.fields["transaction"] = transaction
        if transaction is not None:
            self.hint = (
                f"Transaction {transaction} is signed, and may be mined yet. `ape dtn resume` "
                "sends it again, and `ape dtn journal cancel` replaces it by an empty one."
            )


class UnknownChain(NoNetwork):
    """No router is known for the connected chain."""

    chain_id: int
    known: dict[int, str]

    def __init__(self, chain_id: int, known: dict[int, str]) -> None:
        listed = ", ".join(f"{name} ({known_id})" for known_id, name in sorted(known.items()))
        super().__init__(
            f"No router is known for chain {chain_id}. Known are: {listed}.",
            chain_id=chain_id,
            known=known,
        )
        self.hint = (
            "Pass the router (--ai ADDRESS), set `dtn: routers:` in ape-config.yaml, "
            "or run a network of your own: `ape dtn devnet`."
        )


class WrongChain(NoNetwork):
    """The connected chain is not the one that was meant."""

    expected: int
    actual: int

    def __init__(self, expected: int, actual: int, reason: str) -> None:
        super().__init__(
            f"Connected to chain {actual}, not to chain {expected}: {reason}.",
            expected=expected,
            actual=actual,
        )
        self.hint = "Choose the network with --network; Anvil's is ethereum:local:foundry."


class NotLocal(NoNetwork):
    """The test fixtures deploy a network, and the connected chain is not one's own."""

    network: str

    def __init__(self, network: str) -> None:
        super().__init__(
            f"The fixtures deploy a network of their own, and {network} is no local chain.",
            network=network,
        )
        self.hint = "Run `ape test` without --network, or with --network ethereum:local:foundry."


class StateFixed(NoNetwork):
    """The connected chain lets nobody change its state but by transactions."""

    provider: str

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(
            f"The state of a chain of '{provider}' cannot be changed: {reason}", provider=provider
        )
        self.hint = "It takes Anvil (--network ethereum:local:foundry) or Ape's in-process chain."


class CannotFork(NoNetwork):
    """The connected chain cannot be copied, to try something out on the copy."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The chain cannot be copied: {reason}.", reason=reason)
        self.hint = "Connect over HTTP: --network ethereum:local:foundry, or a node's http URL."


class NoContractAtAddress(NoNetwork):
    """There is no code at an address, or none that answers as the contract would."""

    address: str
    expected: str

    def __init__(self, address: str, expected: str) -> None:
        super().__init__(
            f"There is no {expected} at {address} on this chain.",
            address=address,
            expected=expected,
        )
        self.hint = "Check the address and the network; `ape dtn info` shows what is in use."


class DevnetFailed(DtnError):
    """A network of one's own cannot be started, or has ended by itself."""

    exit_code = NO_NETWORK


class AnvilMissing(DevnetFailed):
    """There is no Anvil on this machine."""

    def __init__(self) -> None:
        super().__init__("There is no `anvil` on the path, and the chain is run by it.")
        self.hint = (
            "It comes with Foundry (https://getfoundry.sh), or alone: "
            "`npm install --global @foundry-rs/anvil`."
        )


class AnvilFailed(DevnetFailed):
    """Anvil has ended by itself, or never listened."""

    exit_status: int | None
    said: str

    def __init__(self, exit_status: int | None, said: str) -> None:
        from ape_dtn.chain.rpc import hide_secrets

        said = " ".join(hide_secrets(said).split())
        reason = said or f"its exit status is {exit_status}"
        super().__init__(f"Anvil has ended: {reason}", exit_status=exit_status, said=said)


class PortTaken(DevnetFailed):
    """Something else listens where the chain was to."""

    exit_code = BAD_INPUT
    port: int
    listener: str | None

    def __init__(self, port: int, listener: str | None, reason: str | None = None) -> None:
        by = f"{listener} listens there" if listener else "another program listens there"
        super().__init__(
            f"Port {port} cannot be used: {reason or by}.", port=port, listener=listener
        )
        self.hint = f"Choose another with --port, or stop what `lsof -i :{port}` shows."
        if listener and "anvil" in listener.lower():
            self.hint += " `ape dtn deploy --serve` puts a network on an Anvil that is running."


class StateUnusable(DevnetFailed):
    """The file that is to keep the chain cannot be used."""

    exit_code = BAD_INPUT
    path: str
    reason: str

    def __init__(self, path: str, reason: str, copy: str | None = None) -> None:
        super().__init__(f"{path} cannot keep the chain: {reason}.", path=path, reason=reason)
        self.hint = (
            f"As it was when it was last started from: `cp {copy} {path}`."
            if copy
            else "Name another file with --state."
        )


# What the contracts refuse.


class Refused(DtnError):
    """The contracts, or we in their place, refuse to do it."""

    exit_code = REFUSED


class ContractReverted(Refused):
    """A contract reverted for a reason that has no class of its own; see ``revert``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The contract reverted: {reason}", reason=reason)


class SessionNotFound(Refused):
    """There is no session of this id that the caller may use."""

    session_id: int | None

    def __init__(self, session_id: int | None, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"Session {session_id} not found.", session_id=session_id, **fields
        )
        self.hint = "List your open sessions: `ape dtn session list`."


class SessionAlreadyClosed(SessionNotFound):
    """The session was closed before. Nothing is left in it, and nothing can be asked on it."""

    def __init__(self, session_id: int | None) -> None:
        super().__init__(session_id, f"Session {session_id} is already closed.")


class NotSessionOwner(SessionNotFound):
    """The session belongs to a different account."""

    owner: str
    caller: str

    def __init__(self, session_id: int, owner: str, caller: str) -> None:
        super().__init__(
            session_id,
            f"Session {session_id} belongs to {owner}, not to {caller}.",
            owner=owner,
            caller=caller,
        )


class InsufficientFunds(Refused):
    """There is less than is needed, in a session or in an account."""

    required: str
    available: str

    def __init__(self, where: str, required: Amount | int, available: Amount | int) -> None:
        super().__init__(
            f"Insufficient funds: {where} has {available}, and {required} is needed.",
            required=str(required),
            available=str(available),
        )


class NothingDeposited(Refused):
    """A session was started, and no deposit is waiting at the fee target."""

    def __init__(self) -> None:
        super().__init__("Nothing is deposited: no tokens are waiting for a session.")
        self.hint = "Start one with its deposit: `ape dtn session start AMOUNT`."


class DepositTaken(Refused):
    """Somebody else started a session with the deposit before its sender did."""

    deposit: str
    transaction: str
    taken_by: str | None
    taken_in: str | None
    session_id: int | None

    def __init__(
        self,
        deposit: Amount,
        transaction: str,
        taken_by: str | None = None,
        taken_in: str | None = None,
        session_id: int | None = None,
    ) -> None:
        by, where = taken_by or "another account", f" in transaction {taken_in}" if taken_in else ""
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was taken by {by}{where}: a "
            "session was started with it before your own was.",
            deposit=str(deposit),
            transaction=transaction,
            taken_by=taken_by,
            taken_in=taken_in,
            session_id=session_id,
        )
        self.hint = "It cannot be taken back. Leave out --unsafe-two-step the next time."


class DepositWaiting(DtnError):
    """A deposit was sent, and the session was not started with it."""

    exit_code = UNKNOWN_OUTCOME

    def __init__(self, deposit: Amount, transaction: str) -> None:
        super().__init__(
            f"Your deposit of {deposit} (transaction {transaction}) was sent, and no session was "
            "started with it. Whoever starts one next owns it.",
            deposit=str(deposit),
            transaction=transaction,
        )
        self.hint = "Start one at once: `ape dtn resume`, or `ape dtn session start --claim`."


class UnsafeDeposit(Refused):
    """A deposit that anybody could take was about to be sent on a public network."""

    def __init__(self) -> None:
        super().__init__(
            "On a public network, whoever calls startUserSession first owns your deposit: between "
            "the transfer and the start, which are two transactions, anybody can take it."
        )
        self.hint = (
            "Leave out --method two-step to have both done in one transaction, or accept the risk: "
            "--unsafe-two-step."
        )


class DepositTaxed(Refused):
    """A session would hold less than was paid for it. Nothing was paid."""

    deposit: str
    balance: str

    def __init__(self, deposit: Amount | int, balance: Amount | int) -> None:
        super().__init__(
            f"The session would hold {balance} of the {deposit} that are paid for it: the token "
            "keeps a part of each transfer. Nothing was paid.",
            deposit=str(deposit),
            balance=str(balance),
        )


class PaymentRefused(Refused):
    """The fee token does not let the client take the deposit. Nothing was paid."""

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token refuses the payment: {reason}.", reason=reason)
        self.hint = "Run it again to sign anew, or choose --method allowance."


class NotClientOwner(Refused):
    """A client contract was called by somebody else than its owner."""

    caller: str

    def __init__(self, caller: str) -> None:
        super().__init__(f"The client is not that of {caller}.", caller=caller)


class MethodUnavailable(Refused):
    """A session cannot be started in the way that was asked for, or in none that is safe."""

    reasons: dict[str, str]

    def __init__(self, reasons: dict[str, str]) -> None:
        listed = "; ".join(f"{method}: {why}" for method, why in reasons.items())
        super().__init__(
            f"There is no way to deposit and start in one transaction here. {listed}."
            if len(reasons) > 1
            else f"A session cannot be started so: {listed}.",
            reasons=reasons,
        )
        self.hint = (
            "Choose another --method, or start the session from another account."
            if len(reasons) == 1
            else "Use another account, or accept that anybody can take the deposit: "
            "--unsafe-two-step."
        )


class RequestsPending(Refused):
    """A session was to be closed while requests of it have no answer, which would never come."""

    session_id: int
    requests: list[str]

    def __init__(self, session_id: int, requests: list[str]) -> None:
        super().__init__(
            f"{len(requests)} of the requests of session {session_id} have no answer yet, and "
            f"would never get one: {', '.join(requests)}.",
            session_id=session_id,
            requests=requests,
        )
        self.hint = (
            f"Wait for them, as with `ape dtn answer {requests[0]}`, or close it all the same: "
            "--force."
        )


class ConsentMissing(Refused):
    """A session was to be started with what waits, which may be somebody else's."""

    def __init__(self) -> None:
        super().__init__(
            "A session started now takes all that waits at the fee target, and the chain does not "
            "say whose that is: some of it may be somebody else's."
        )
        self.hint = "Take it all the same: claim=True, or --claim."


class NoRemedy(Refused):
    """Nothing can be done about it from here."""

    about: str

    def __init__(self, about: str) -> None:
        super().__init__(f"Nothing can be done about {about} from here.", about=about)
        self.hint = "What it is, and who could help: `ape dtn rescue`."


class NoEffect(DtnError):
    """A transaction succeeded and did not do what it was sent for."""

    exit_code = UNKNOWN_OUTCOME
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(
            f"Transaction {transaction} succeeded and did nothing: what it called is not the "
            "contract that it should be.",
            transaction=transaction,
        )
        self.hint = "Look at what is in use: `ape dtn info`."


class ModelNotFound(Refused):
    """No model of this name is registered."""

    model: str | None

    def __init__(self, model: str | None) -> None:
        super().__init__(f"Model {model or ''} is not registered on this network.", model=model)
        self.hint = "List the models: `ape dtn models`."


class NodeNotFound(Refused):
    """No node of this name is registered, or none serves the model."""

    node: str | None

    def __init__(self, node: str | None, message: str | None = None) -> None:
        super().__init__(message or f"Node {node} is not registered on this network.", node=node)
        self.hint = "List the nodes: `ape dtn nodes`."


class NodesNotListed(Refused):
    """More nodes serve a model than the endpoint lists: anybody can register some."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            f"So many nodes serve {model} that the endpoint does not list them.", model=model
        )
        self.hint = "Name those that you trust: --node, nodes=[…], or `dtn: nodes:`."


class CannotComplete(Refused):
    """A request that the deployment accepts, is paid gas for, and never completes."""

    reason: str

    def __init__(self, reason: str, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"The request could never complete: {reason}.", reason=reason, **fields
        )
        self.hint = "To send it all the same: may_never_complete=True, or --may-never-complete."


class NobodyCanAnswer(CannotComplete):
    """A request that no node could answer as things are."""

    request_id: str
    nodes: dict[str, str]

    def __init__(self, request_id: str, nodes: dict[str, str]) -> None:
        told = ", ".join(f"{node} {reason}" for node, reason in nodes.items())
        super().__init__(
            "no node can answer it",
            f"No node can answer request {request_id}: {told or 'its routing trusts none'}.",
            request_id=request_id,
            nodes=nodes,
        )
        self.hint = "List the nodes: `ape dtn nodes`. Rehearse as any of them: --as-node NAME."


class NodeUnavailable(CannotComplete):
    """A node that could never answer: it is switched off, or does not serve the model."""

    node: str

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason, f"Node {node} cannot answer: {reason}.", node=node)
        self.hint = f"List the nodes and what they serve: `ape dtn nodes`. {self.hint}"


class OverLimit(Refused):
    """It could cost more than a limit that was set allows. Nothing was sent."""

    limit: str
    required: str

    def __init__(self, what: str, limit: Amount, required: Amount, setting: str) -> None:
        super().__init__(
            f"{what} could cost {required}, and its limit is {limit}.",
            limit=str(limit),
            required=str(required),
        )
        self.hint = f"Ask for less, or raise `{setting}`."


class RequestNotFound(Refused):
    """There is no request of this id."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Request {request_id} not found.", request_id=request_id)


class RequestReplaced(Refused):
    """Another request got the same id in the same block, and the network forgot this one."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"Request {request_id} shares its id with another one of the same block: the network "
            "keeps the later one only.",
            request_id=request_id,
        )
        self.hint = "Leave out `user`: each request then gets one, and an id, of its own."


class CallbackGasMissing(Refused):
    """A request carried less coin than its callback may use of gas."""

    def __init__(self) -> None:
        super().__init__("The request must carry at least as many wei as its callback gas.")


class NoMoneyForGas(Refused):
    """The account's coin does not cover a transaction's value and gas."""

    account: str

    def __init__(self, account: str, required: int, available: int) -> None:
        super().__init__(
            f"Account {account} has {available} wei, and the transaction may cost {required} wei.",
            account=account,
            required=required,
            available=available,
        )


class SigningDeclined(Refused):
    """The account did not sign, and nothing was sent for want of it."""

    def __init__(self, account: str, what: str | None = None) -> None:
        signed = f" {what}" if what else ""
        sent = "" if what else " Nothing was sent."
        super().__init__(f"Account {account} did not sign{signed}.{sent}", account=account)
        if what:
            self.hint = "Ape asks for this on a terminal alone. Without one, take another --method."


class OwnersMissing(Refused):
    """A Safe wants the signatures of more owners than there are accounts of. Nothing was sent."""

    safe: str
    required: int
    available: list[str]

    def __init__(self, safe: str, required: int, available: list[str]) -> None:
        super().__init__(
            f"Safe {safe} wants {required} of its owners to sign, and the accounts of "
            f"{len(available)} are here. Nothing was signed, proposed or sent.",
            safe=safe,
            required=required,
            available=available,
        )
        self.hint = "Add the accounts of more of its owners: `ape accounts import ALIAS`."


# What came, or did not come, afterwards.


class NodeState(TypedDict):
    """What is known of a node that may answer a request.

    Attributes:
        node: Its name, or its id where the name is not known.
        is_active: Whether it is registered and switched on.
        serves_model: Whether it serves the model that was asked.
        answers: How many answers it gave lately; None where the endpoint does not tell.
        last_answer: How many seconds before the latest block its last one of these came; None where
            there is none.
    """

    node: str
    is_active: bool
    serves_model: bool
    answers: int | None
    last_answer: int | None


class Offer(TypedDict):
    """What a request offers, as text with the token's unit.

    Attributes:
        fee_per_byte_asked: For each byte of the request.
        fee_per_byte_answered: For each byte of the response.
        most_it_may_cost: The cap of one response.
    """

    fee_per_byte_asked: str
    fee_per_byte_answered: str
    most_it_may_cost: str


class RequestPending(DtnError):
    """The request has no answer yet. It stays open, and can be asked for again by its id.

    After a wait it says what is known: ``nodes``, those that may answer, and ``offer``, what they
    are offered; None where that could not be read.
    """

    exit_code = NO_ANSWER_YET
    request_id: str | None
    waited: float | None
    nodes: list[NodeState] | None
    offer: Offer | None

    def __init__(
        self,
        request_id: str | None,
        waited: float | None = None,
        nodes: list[NodeState] | None = None,
        offer: Offer | None = None,
    ) -> None:
        after = f" after {waited:g} seconds" if waited is not None else ""
        known = [f"Request {request_id} has no answer{after}."]
        if offer is not None:
            known.append(_told_offer(offer))
        if nodes is not None:
            known += [_told_node(node) for node in nodes] or ["No node may answer it."]
        super().__init__(
            " ".join(known), request_id=request_id, waited=waited, nodes=nodes, offer=offer
        )
        self.hint = f"Ask for it again: `ape dtn answer {request_id}`."


def _told_offer(offer: Offer) -> str:
    asked, answered = offer["fee_per_byte_asked"], offer["fee_per_byte_answered"]
    fees = f"{asked} a byte"
    if asked != answered:
        fees = f"{asked} a byte asked and {answered} a byte answered"
    return f"It offers {fees}, and {offer['most_it_may_cost']} at most."


def _told_node(node: NodeState) -> str:
    active = "is active" if node["is_active"] else "is not active"
    serves = "serves the model" if node["serves_model"] else "does not serve the model"
    if node["answers"] is None:
        lately = "what it answered lately is not known"
    elif node["last_answer"] is None:
        lately = "it answered nothing lately"
    else:
        lately = f"its last answer came {node['last_answer']} seconds ago"
    return f"{node['node']} {active} and {serves}; {lately}."


class RequestStranded(RequestPending):
    """The request will never be answered: its session was closed before a node could be paid."""

    exit_code = REFUSED
    session_id: int

    def __init__(self, request_id: str, session_id: int) -> None:
        super().__init__(request_id)
        self.message = (
            f"Request {request_id} will never be answered: session {session_id}, which was to pay "
            "for it, is closed."
        )
        self.args = (self.message,)
        self.fields = {"request_id": request_id, "session_id": session_id}
        self.session_id = session_id
        self.hint = "Ask again on an open session."


class CallbackFailed(DtnError):
    """The answer came, and the callback that was to take it reverted. See ``revert``."""

    exit_code = NODE_FAILED
    request_id: str
    target: str
    reason: str

    def __init__(self, request_id: str, target: str, reason: str) -> None:
        super().__init__(
            f"The callback of request {request_id} to {target} reverted: {reason}. The answer is "
            "recorded all the same.",
            request_id=request_id,
            target=target,
            reason=reason,
        )
        self.hint = f"Read the answer: `ape dtn answer {request_id}`."


class CallbackOutOfGas(CallbackFailed):
    """The callback ran out of its gas, and with more of it would have succeeded."""

    gas: int
    needed: int

    def __init__(self, request_id: str, target: str, gas: int, needed: int) -> None:
        super().__init__(
            request_id, target, f"its {gas:,} gas are too little, {needed:,} would be enough"
        )
        self.fields |= {"gas": gas, "needed": needed}
        self.gas, self.needed = gas, needed
        self.hint = (
            f"Ask with a callbackGas of {needed} or more, and as many wei. Read the answer: "
            f"`ape dtn answer {request_id}`."
        )


class ContentUnavailable(DtnError):
    """No gateway gave the content of an answer that travels over IPFS."""

    exit_code = NO_ANSWER_YET
    cid: str
    reasons: dict[str, str]

    def __init__(self, cid: str, reasons: dict[str, str]) -> None:
        told = "; ".join(f"{gateway}: {reason}" for gateway, reason in reasons.items())
        super().__init__(
            f"No gateway gave the content {cid}: {told or 'none is configured'}.",
            cid=cid,
            reasons=reasons,
        )
        self.hint = "Try again later, or name other gateways under `dtn: ipfs_gateways:`."


class WrongContent(ContentUnavailable):
    """What the gateways gave is not what the identifier stands for. It is never returned."""

    exit_code = NODE_FAILED


class ContentTooLarge(ContentUnavailable):
    """The content is larger than the limit."""

    exit_code = REFUSED

    def __init__(self, cid: str, limit: int) -> None:
        super().__init__(cid, {})
        self.message = f"The content {cid} is larger than {limit} bytes."
        self.args = (self.message,)
        self.fields["limit"] = self.limit = limit
        self.hint = "Raise `dtn: ipfs_limit:` if you want it all the same."


class NodeFailure(DtnError):
    """The node answered that it failed. ``reason`` holds its own message.

    ``callback_error`` says why the request's callback, which was to be told of it, reverted.
    """

    exit_code = NODE_FAILED
    request_id: str
    reason: str

    def __init__(
        self, request_id: str, reason: str, callback_error: CallbackFailed | None = None
    ) -> None:
        explained = (
            " (the node could not decode the call by the model's API)"
            if reason.startswith("P0011")
            else ""
        )
        super().__init__(
            f"The node failed: {reason or 'it gave no reason'}{explained}.",
            request_id=request_id,
            reason=reason,
        )
        self.callback_error = callback_error

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data, with that of the callback."""
        callback = self.callback_error.as_dict() if self.callback_error else None
        return {**super().as_dict(), "callback_error": callback}


class UndecodableAnswer(DtnError):
    """The answer is not of the model's output type. ``data`` holds it as it came."""

    exit_code = NODE_FAILED

    def __init__(self, request_id: str, output: str, data: str) -> None:
        super().__init__(
            f"The answer to request {request_id} is not a '{output}'.",
            request_id=request_id,
            output=output,
            data=data,
        )


class PartlySent(DtnError):
    """Of transactions that belong together only the first ones could be sent."""

    exit_code = UNKNOWN_OUTCOME
    sent: list[str]

    def __init__(self, sent: list[str], reason: str) -> None:
        super().__init__(
            f"Sent was {', '.join(sent)}, and what belongs to it was not: {reason}", sent=sent
        )
        self.hint = (
            "Do not send it again: `ape dtn resume` looks at the chain, and sends only what has "
            "not happened."
        )


class PaymentCancelled(DtnError):
    """What was signed for an entry of the journal can never be mined: an empty transaction was."""

    exit_code = REFUSED

    def __init__(self, what: str, transactions: list[str]) -> None:
        super().__init__(
            f"Cancelled: the {what} did not happen, and never will. Empty transactions have used "
            "its nonces.",
            transactions=transactions,
        )


class RefusedBefore(Refused):
    """An entry of the journal that was refused, and is not begun again without being asked for."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"The {what} was refused, and is not sent again by itself: {reason}", reason=reason
        )
        self.hint = "Repeat the command, with its idempotency key if it had one."


class NotCancellable(BadInput):
    """An entry of the journal that cannot be cancelled from here. Nothing was sent."""

    def __init__(self, what: str, reason: str, hint: str) -> None:
        super().__init__(f"The {what} cannot be cancelled: {reason}.", reason=reason)
        self.hint = hint


class TransactionPending(DtnError):
    """A transaction was sent, and it is not known yet what became of it."""

    exit_code = UNKNOWN_OUTCOME
    transactions: list[str]

    def __init__(self, *transactions: str) -> None:
        super().__init__(
            f"Sent, and not known to be confirmed yet: transaction {', '.join(transactions)}.",
            transactions=list(transactions),
        )
        self.hint = (
            "Do not send it again: `ape dtn resume` looks at the chain, and sends only what has "
            "not happened."
        )


class WalletPending(DtnError):
    """An account that sends in its own way may have sent something, and nothing tells whether."""

    exit_code = UNKNOWN_OUTCOME
    account: str
    nonce: int

    def __init__(self, account: str, nonce: int, reason: str) -> None:
        super().__init__(
            f"{account} was given a transaction to sign and send itself, with nonce {nonce}, and "
            f"it is not known whether it did: {reason}.",
            account=account,
            nonce=nonce,
        )
        self.hint = (
            "Look for it in the wallet, and have it mined or cancelled there; then `ape dtn "
            "resume` goes on. Nothing is sent under this key before."
        )
