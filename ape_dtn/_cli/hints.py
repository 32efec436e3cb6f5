"""Hints for the command line, which name commands and options.

Hints of the SDK name arguments and methods of Python. :data:`HINTS` replaces them by the class of
the error. In other hints, an argument in backticks, as in ``Pass `force=True`.``, becomes the
option of the command with that name, and a method its command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import click

from ape_dtn.types.errors import DtnError

_PYTHON = re.compile(r"`([^`]+)`")
_ARGUMENT = re.compile(r"(\w+)(?:=(\S+))?")
_METHODS = (
    (re.compile(r"ai\.nodes\(\)"), "ape dtn nodes"),
    (re.compile(r"ai\.nodes\('(.+)'\)"), r"ape dtn nodes --model \1"),
)


class CommandHint(str):
    """A command's hint for one error, which replaces the hint of the error's class."""


def hint_for(err: DtnError) -> str | None:
    """The hint of an error, for the command line. None if the SDK's hint is empty."""
    if err.hint == "" or isinstance(err.hint, CommandHint):
        return err.hint or None
    for kind in type(err).__mro__:
        hint = HINTS.get(kind.__name__)
        if hint is not None:
            text = hint(err) if callable(hint) else hint.format_map(err.fields)
            return " ".join(filter(None, (err.context, text))) or None
    context = click.get_current_context(silent=True)
    return with_options(err.hint, context.command) if err.hint and context else err.hint


def with_options(hint: str, command: click.Command) -> str:
    """A hint of the SDK with the options of a command in place of arguments."""
    options = {
        parameter.name: parameter.opts[0]
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }

    def translate(code: re.Match[str]) -> str:
        for method, written in _METHODS:
            if method.fullmatch(code[1]):
                return f"`{method.sub(written, code[1])}`"
        argument = _ARGUMENT.fullmatch(code[1])
        if argument is None or argument[1] not in options:
            return code[0]
        option, value = options[argument[1]], argument[2]
        return f"`{option}`" if value in (None, "True") else f"`{option} {value}`"

    return _PYTHON.sub(translate, hint)


_RESUME = "Do not send it again: `ape dtn resume` reads the chain and sends only what is missing."


def _transaction_pending(err: DtnError) -> str | None:
    if "deposit" in err.fields:
        return (
            "Your deposit has arrived. Start a session with it at once: `ape dtn resume`, or "
            "`ape dtn session start --claim`."
        )
    return _if_in_journal(err)


def _if_in_journal(err: DtnError) -> str | None:
    """`ape dtn resume` helps only with transactions that are in the journal."""
    return _RESUME if getattr(err, "is_resumable", False) else err.hint


def _journal_unusable(err: DtnError) -> str | None:
    rescue = "`ape dtn rescue` finds open sessions, deposits and requests."
    resumed = "can still be resumed: `ape dtn resume`."
    return (
        (err.hint or "")
        .replace("`DtnRescue(account).findings()`.", rescue)
        .replace("can still be resumed.", resumed)
    )


def _own_hint(err: DtnError) -> str | None:
    """The hint of the SDK, where that of the base class does not apply."""
    return err.hint


def _transaction_refused(err: DtnError) -> str | None:
    if not getattr(err, "is_resumable", False):
        return err.hint
    return (
        f"Transaction {err.fields['transaction']} is signed and may still be mined. "
        "`ape dtn resume` broadcasts it again, and `ape dtn journal cancel` replaces it with an "
        "empty transaction."
    )


def _if_method_needs_terminal(err: DtnError) -> str | None:
    if err.hint is None:
        return None
    return "Ape asks for this signature on a terminal only. Without one, choose another --method."


def _deposit_taken(err: DtnError) -> str | None:
    if err.fields["session_id"] is not None:  # the hint names the session with the rest
        return err.hint
    return "It cannot be recovered. Next time, do not use --unsafe-two-step."


def _method_unavailable(err: DtnError) -> str | None:
    if len(err.fields["reasons"]) == 1:
        return "Choose another --method, or start the session from another account."
    return (
        "Use another account, or accept the risk that another account takes the deposit: "
        "--unsafe-two-step."
    )


def _not_cancellable(err: DtnError) -> str | None:
    return {
        "in_progress": "Stop the other process first.",
        "ended": "`ape dtn journal --all` shows its outcome.",
        "sent_by_wallet": "Cancel it in the account's wallet, then run `ape dtn resume`.",
    }.get(str(err.fields["cause"]))


def _nodes_not_listed(err: DtnError) -> str:
    if "as_node" in (err.hint or ""):
        return "Name the node to rehearse as: --as-node NAME."
    return "Name the nodes that you trust: --node, or `dtn: nodes:` in ape-config.yaml."


def _port_taken(err: DtnError) -> str | None:
    hint = f"Choose another with --port, or stop what `lsof -i :{err.fields['port']}` shows."
    if "anvil" in str(err.fields["listener"] or "").lower():
        hint += " `ape dtn deploy --serve` deploys a network on an Anvil that is running."
    return hint


HINTS: Mapping[str, str | Callable[[DtnError], str | None]] = {
    "CannotComplete": "To send it anyway, add --may-never-complete.",
    "CannotFork": "Connect over HTTP: --network ethereum:local:foundry, or the http URL of a node.",
    "ChainUnreachable": "Check the address in --network or ape-config.yaml, then run it again.",
    "ConsentMissing": "To take it anyway, add --claim.",
    "DeploymentDiffers": (
        "If the contracts differ, continue with the version of ape-dtn that began the deployment. "
        "For another deployment, name another file: --file PATH."
    ),
    "DepositTaken": _deposit_taken,
    "DepositWaiting": (
        "Start a session with it at once: `ape dtn resume`, or `ape dtn session start --claim`."
    ),
    "FeeTooHigh": (
        "Shorten the prompt, lower --fee-per-byte or raise --max-cost. Amounts are in whole "
        "tokens, not in a token's smallest units."
    ),
    "FilesExist": "Choose another name, or replace the files: --force.",
    "InvalidBackend": "Check --backend, or `dtn: backends:` in ape-config.yaml.",
    "InvalidCall": (
        "Give the inputs of the model other than its prompt with --input NAME=VALUE. `ape dtn "
        "models` lists them."
    ),
    "InvalidCursor": "Watch again without that file: outcomes printed before are printed again.",
    "InvalidPrompt": (
        'Give a --value for each placeholder: "Is {{0:address}} older than {{1:uint8}}?" '
        "--value 0x… --value 26"
    ),
    "JournalUnusable": _journal_unusable,
    "KeyReused": (
        "Use a new --idempotency-key for each operation. `ape dtn journal --all` shows the "
        "operation with this key."
    ),
    "MethodUnavailable": _method_unavailable,
    "ModelNotFound": "List the models: `ape dtn models`.",
    "NoAccount": "Name the account that signs: --account ALIAS.",
    "NoBackend": (
        'Name one with --backend, or under `dtn: backends:` in ape-config.yaml ("*" for all '
        "models)."
    ),
    "NoContractAtAddress": "Check the address and the network: `ape dtn info`.",
    "NoEffect": "Check the contracts in use: `ape dtn info`.",
    "NoRemedy": "`ape dtn rescue` shows what it is, and who can help.",
    "NobodyCanAnswer": "List the nodes: `ape dtn nodes`. Rehearse as one of them: --as-node NAME.",
    "NobodyTrusted": (
        "Choose among `ape dtn nodes --model {model}`, then name them with --node, or under "
        "`dtn: nodes:` in ape-config.yaml."
    ),
    "NodeNotFound": "List the nodes: `ape dtn nodes`.",
    "NodeUnavailable": (
        "List the nodes and their models: `ape dtn nodes`. To send it anyway, add "
        "--may-never-complete."
    ),
    "NodesNotListed": _nodes_not_listed,
    "NotCancellable": _not_cancellable,
    "NotConnected": "Choose a network: --network base:mainnet:node.",
    "NotNodeOwner": "Sign with the owner's account: --account ALIAS.",
    "NotTheWorker": "Name the worker's account: --worker ALIAS.",
    "NothingDeposited": "Start one with a deposit: `ape dtn session start AMOUNT`.",
    "PartlySent": _if_in_journal,
    "AccountBlocked": _own_hint,
    "TokenPaused": _own_hint,
    "PaymentRefused": "Run it again to sign anew, or choose --method allowance.",
    "PortTaken": _port_taken,
    "RefusedBefore": "Run the command again, with its --idempotency-key if it had one.",
    "RequestPending": "Wait for it again: `ape dtn answer {request_id}`.",
    "RequestStranded": "Ask again on an open session.",
    "RequestsPending": (
        "Wait for each with `ape dtn answer ID`, or add --force to close the session anyway."
    ),
    "SessionNotFound": "List your open sessions: `ape dtn session list`.",
    "SigningDeclined": _if_method_needs_terminal,
    "TransactionPending": _transaction_pending,
    "TransactionRefused": _transaction_refused,
    "UnknownChain": (
        "Name the router (--router ADDRESS), set `dtn: routers:` in ape-config.yaml, or run a "
        "local network: `ape dtn devnet`."
    ),
    "UnknownContract": (
        "Give an address, the name of a contract of the project, or NAME:ADDRESS. For a contract "
        "that is in no project, name its ABI: --abi FILE."
    ),
    "UnsafeDeposit": (
        "Leave out --method two-step to do both in one transaction, or accept the risk: "
        "--unsafe-two-step."
    ),
    "WalletPending": (
        "Have it mined or cancelled in the wallet, then run `ape dtn resume`. Until then, nothing "
        "is sent under this key."
    ),
    "WrongChain": "Choose the network with --network; that of Anvil is ethereum:local:foundry.",
}
