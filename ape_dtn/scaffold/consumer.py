"""A consumer: one prompt for one model, requested repeatedly with different values."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ape_dtn.types.abi_types import is_abi_type
from ape_dtn.types.errors import EmptyPrompt, InvalidCall, InvalidName, InvalidOption, InvalidPrompt
from ape_dtn.types.ids import is_name
from ape_dtn.types.model import Api
from ape_dtn.types.prompt import indices, placeholder_types

_TEXT = ("string[]", "string")

_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_MODEL = re.compile(r"[A-Za-z0-9_.-]+")
_PARAMETER = re.compile(r"[a-z][A-Za-z0-9]*(_[a-z0-9]+)*")

# The types that both languages support. Solidity has no fixed-point numbers, and function types
# make no sense here.
_TYPE = re.compile(r"(address|bool|string|bytes\d*|u?int\d+)(\[([1-9]\d*)?\])*")

# Every index up to the highest one is encoded, used or not.
_MAX_INDEX = 99

# Names with another meaning in the generated code.
_RESERVED = """
DtnDefaults DtnRequest DtnSession IDtnAi Options Prompt Sequence State Unpack WithDtnAi
Asked Answered Failed OnlyOwner SessionOpen NoSession NotAwaited NoAnswer TokenRefused NoRecipient
NotARouter None True False
"""
_RESERVED_BY_CONTRACT = """
ai answerOf ask close collect line lines onAnswer onFailure onlyDtn onlyOwner open requestId
sessionId setAi stateOf sweep
"""
_RESERVED_BY_CLIENT = "options self session timeout"
_RESERVED_BY_SOLIDITY = """
abi abstract addmod address after alias anonymous apply as assembly assert auto blobhash block
blockhash bool break byte bytes calldata case catch constant constructor continue contract copyof
days default define delete do ecrecover else emit enum error ether event external fallback false
final finney fixed for from function gasleft global gwei hex hours if immutable implements import in
indexed inline int interface internal is keccak256 layout leave let library macro mapping match
memory minutes modifier msg mulmod mutable new now null of override partial payable pragma private
promise public pure receive reference relocatable require return returns revert ripemd160 sealed
seconds selfdestruct sha256 sizeof static storage string struct suicide super supports switch szabo
this throw transient true try tx type typedef typeof ufixed uint unchecked unicode using var view
virtual weeks wei while years
"""
_RESERVED_NAMES = frozenset(_RESERVED.split())
_RESERVED_PARAMETERS = frozenset(
    f"{_RESERVED_BY_CONTRACT} {_RESERVED_BY_CLIENT} {_RESERVED_BY_SOLIDITY}".split()
)
_SIZED = re.compile(r"(bytes|u?int|u?fixed)\d+(x\d+)?")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the generated functions: its name, ABI type, and description."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Consumer:
    """What to generate: a contract and a client for one prompt and one model.

    Attributes:
        name: The name of both.
        model: The model's full name.
        inputs: ABI types of the model's inputs.
        output: ABI type of the model's output.
        lines: The prompt's lines with placeholders; empty if the prompt is a parameter.
        values: The placeholders' parameters, by index; None for an unused index.
        others: The parameters of the model's inputs, in order; None for a fixed prompt.
    """

    name: str
    model: str
    inputs: tuple[str, ...]
    output: str
    lines: tuple[str, ...]
    values: tuple[Parameter | None, ...]
    others: tuple[Parameter | None, ...]

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, those of the placeholders first."""
        return [parameter for parameter in (*self.values, *self.others) if parameter]


def consumer(
    name: str, model: str, api: Api, lines: Sequence[str] = (), names: Sequence[str] = ()
) -> Consumer:
    """Check the input, and build the consumer.

    Args:
        name: The name of the contract and of the client's class.
        model: The model's full name.
        api: The model's API.
        lines: The prompt's lines with placeholders; empty to make the prompt a parameter.
        names: Names of the parameters: those of the placeholders by index, then those of the
            model's other inputs. By default ``value0`` and so on, and the names in the API.

    Raises:
        InvalidName: ``model`` is not a model's full name.
        InvalidOption: A name is invalid or reserved in Solidity or Python, or ``names`` has
            duplicates or more names than there are parameters.
        EmptyPrompt, InvalidPrompt: The prompt is empty or invalid.
        InvalidCall: A contract cannot call the model's API, or the API takes no such prompt.
    """
    if not is_name(model, "model"):
        raise InvalidName(model, "model", "model.system.openai-gpt-5")
    if not _MODEL.fullmatch(model):
        raise InvalidOption("model", f"'{model}' has characters that are unsafe in source code")
    if not _NAME.fullmatch(name) or name in _RESERVED_NAMES:
        reason = f"'{name}' is not a valid name for a contract and a class; try 'AgeCheck'"
        raise InvalidOption("NAME", reason)
    inputs, output = tuple(api.inputs), api.output
    for kind in (*inputs, output):
        if not (_TYPE.fullmatch(kind) and is_abi_type(kind)):
            raise InvalidCall(api.specs, f"contracts cannot use the type '{kind}'")
    position = _prompt_position(api, inputs, lines)
    values = _values(lines)
    others = _others(api, inputs, position, bool(lines))
    named = iter(_named([parameter for parameter in (*values, *others) if parameter], names))
    return Consumer(
        name,
        model,
        inputs,
        output,
        tuple(lines),
        tuple(value and next(named) for value in values),
        tuple(other and next(named) for other in others),
    )


def _prompt_position(api: Api, inputs: Sequence[str], lines: Sequence[str]) -> int | None:
    """The index of the prompt's input: the first ``string[]``, else the first ``string``."""
    position = next((inputs.index(kind) for kind in _TEXT if kind in inputs), None)
    if not lines:
        return position
    if not any(line.strip() for line in lines):
        raise EmptyPrompt
    if position is None:
        raise InvalidCall(api.specs, "it has no text input for a prompt")
    if inputs[position] == "string" and len(lines) > 1:
        raise InvalidCall(api.specs, f"the prompt must be one line, but has {len(lines)}")
    return position


def _values(lines: Sequence[str]) -> list[Parameter | None]:
    try:
        "".join(lines).encode()
    except UnicodeEncodeError as err:
        raise InvalidPrompt("it has an unpaired surrogate, which UTF-8 cannot encode") from err
    used = indices(lines)
    if used and used[-1] > _MAX_INDEX:
        raise InvalidPrompt(f"the index of {{{used[-1]}}} is too high; the limit is {_MAX_INDEX}")
    values: list[Parameter | None] = []
    for index, kind in enumerate(placeholder_types(lines)):
        if not _TYPE.fullmatch(kind):
            raise InvalidPrompt(f"contracts cannot use the type '{kind}' of {{{index}}}")
        meaning = f"The value of `{{{index}}}` in the prompt"
        values.append(Parameter(f"value{index}", kind, meaning) if index in used else None)
    return values


def _others(
    api: Api, inputs: Sequence[str], position: int | None, is_fixed: bool
) -> list[Parameter | None]:
    """The inputs' parameters. A prompt is one ``string``, even if the input is ``string[]``."""
    others: list[Parameter | None] = []
    for index, kind in enumerate(inputs):
        if index == position:
            others.append(None if is_fixed else Parameter("prompt", "string", "The prompt"))
            continue
        # Anyone can register an API, with any names.
        name = api.names[index] if api.names and _is_free(api.names[index]) else f"input{index}"
        others.append(Parameter(name, kind, f"Input {index + 1} of the model"))
    return others


def _named(parameters: Sequence[Parameter], names: Sequence[str]) -> list[Parameter]:
    if len(names) > len(parameters):
        reason = f"{len(names)} names for {len(parameters)} values"
        raise InvalidOption("name", reason)
    chosen = [*names, *(parameter.name for parameter in parameters[len(names) :])]
    for name in chosen:
        if not _PARAMETER.fullmatch(name):
            raise InvalidOption("name", f"'{name}' is not a valid parameter name; try 'owner'")
        if not _is_free(name):
            raise InvalidOption("name", f"'{name}' is reserved in the generated code")
    if len({snake(name) for name in chosen}) != len(chosen):
        raise InvalidOption("name", f"the names must differ: {', '.join(chosen)}")
    return [
        replace(parameter, name=name) for name, parameter in zip(chosen, parameters, strict=True)
    ]


def _is_free(name: str) -> bool:
    is_reserved = name in _RESERVED_PARAMETERS or keyword.iskeyword(name) or _SIZED.fullmatch(name)
    return bool(_PARAMETER.fullmatch(name)) and not is_reserved


def snake(name: str) -> str:
    """Convert to snake case: ``maximumAge`` becomes ``maximum_age``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
