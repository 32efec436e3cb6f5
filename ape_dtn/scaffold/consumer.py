"""What is asked of a model, again and again, each time with other values."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi import is_encodable_type

from ape_dtn.types.errors import EmptyPrompt, InvalidCall, InvalidName, InvalidOption, InvalidPrompt
from ape_dtn.types.ids import is_name
from ape_dtn.types.model import Api
from ape_dtn.types.prompt import indices, placeholder_types

_TEXT = ("string[]", "string")

_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_MODEL = re.compile(r"[A-Za-z0-9_.-]+")
_PARAMETER = re.compile(r"[a-z][A-Za-z0-9]*(_[a-z0-9]+)*")

# What both languages can say. Solidity has no numbers with a point, and nobody sends functions.
_TYPE = re.compile(r"(address|bool|string|bytes\d*|u?int\d+)(\[([1-9]\d*)?\])*")

# All indices up to the highest one are encoded, whether they are used or not.
_HIGHEST_INDEX = 99

# Names that stand for something else in what is written.
_TAKEN = """
DtnDefaults DtnRequest DtnSession IDtnAi Options Prompt Sequence State Unpack WithDtnAi
Asked Answered Failed OnlyOwner SessionOpen NoSession NotAwaited NoAnswer TokenRefused NoRecipient
OnlyDtn NotARouter None True False
"""
_TAKEN_BY_CONTRACT = """
ai answerOf ask close collect line lines onAnswer onFailure onlyDtn onlyOwner open requestId
sessionId setAi stateOf sweep
"""
_TAKEN_BY_CLIENT = "options self session timeout"
_TAKEN_BY_SOLIDITY = """
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
_TAKEN_NAMES = frozenset(_TAKEN.split())
_TAKEN_PARAMETERS = frozenset(
    f"{_TAKEN_BY_CONTRACT} {_TAKEN_BY_CLIENT} {_TAKEN_BY_SOLIDITY}".split()
)
_SIZED = re.compile(r"(bytes|u?int|u?fixed)\d+(x\d+)?")


@dataclass(frozen=True)
class Parameter:
    """A value that is given each time.

    Attributes:
        name: Its name, as in ``maximumAge``.
        kind: Its ABI type.
        meaning: What it is, in a few words.
    """

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Consumer:
    """A contract and a client that ask one model by one prompt.

    Attributes:
        name: The name of both.
        model: The model's full name.
        inputs: The types of the model's inputs.
        output: The type of its answer.
        lines: The prompt's lines, with their placeholders; none where the prompt is given each
            time.
        values: What the placeholders stand for, by index; None for an index that is not used.
        others: The inputs besides the prompt, by place; None at the prompt's place.
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
        """All that is given each time, the prompt's values first."""
        return [each for each in (*self.values, *self.others) if each]


def consumer(
    name: str, model: str, api: Api, lines: Sequence[str] = (), names: Sequence[str] = ()
) -> Consumer:
    """Checks what is to be written.

    Args:
        name: The name of the contract and of the client.
        model: The model's full name.
        api: How the model is called.
        lines: The lines of the prompt, with placeholders; none for a prompt that is given each
            time.
        names: The names of the values, in the order of their indices, then of the model's other
            inputs. Those that are missing are called ``value0`` and so on, or as the API does.

    Raises:
        InvalidName: The model's name is none.
        InvalidOption: The name is none for a contract and a class, or one of the names is none for
            a value, or is used twice, or there are too many.
        EmptyPrompt, InvalidPrompt: Something about the prompt is wrong.
        InvalidCall: The model's API cannot be called by a contract, or takes no such prompt.
    """
    if not is_name(model, "model"):
        raise InvalidName(model, "model", "model.system.openai-gpt-5")
    if not _MODEL.fullmatch(model):
        raise InvalidOption("model", f"'{model}' has characters that no source should have")
    if not _NAME.fullmatch(name) or name in _TAKEN_NAMES:
        reason = f"'{name}' cannot name a contract and a class; use one like 'AgeCheck'"
        raise InvalidOption("NAME", reason)
    inputs, output = tuple(api.inputs), api.output
    for kind in (*inputs, output):
        if not (_TYPE.fullmatch(kind) and is_encodable_type(kind)):
            raise InvalidCall(api.specs, f"a contract cannot be given, or keep, '{kind}'")
    place = _place_of_prompt(api, inputs, lines)
    values = _values(lines)
    given = _given(api, inputs, place, bool(lines))
    named = iter(_named([each for each in (*values, *given) if each], names))
    return Consumer(
        name,
        model,
        inputs,
        output,
        tuple(lines),
        tuple(each and next(named) for each in values),
        tuple(each and next(named) for each in given),
    )


def _place_of_prompt(api: Api, inputs: Sequence[str], lines: Sequence[str]) -> int | None:
    """The input that the prompt is: the first list of lines, or else the first text."""
    place = next((inputs.index(kind) for kind in _TEXT if kind in inputs), None)
    if not lines:
        return place
    if not any(line.strip() for line in lines):
        raise EmptyPrompt
    if place is None:
        raise InvalidCall(api.specs, "it takes no text that could be a prompt")
    if inputs[place] == "string" and len(lines) > 1:
        raise InvalidCall(api.specs, f"a prompt of {len(lines)} lines is no string")
    return place


def _values(lines: Sequence[str]) -> list[Parameter | None]:
    try:
        "".join(lines).encode()
    except UnicodeEncodeError as err:
        raise InvalidPrompt("it has half a character in it, which UTF-8 cannot write") from err
    used = indices(lines)
    if used and used[-1] > _HIGHEST_INDEX:
        raise InvalidPrompt(f"{{{used[-1]}}} stands for more values than a contract can be given")
    values: list[Parameter | None] = []
    for index, kind in enumerate(placeholder_types(lines)):
        if not _TYPE.fullmatch(kind):
            raise InvalidPrompt(f"a contract cannot be given '{kind}' for {{{index}}}")
        meaning = f"What `{{{index}}}` stands for in the prompt"
        values.append(Parameter(f"value{index}", kind, meaning) if index in used else None)
    return values


def _given(
    api: Api, inputs: Sequence[str], place: int | None, fixed: bool
) -> list[Parameter | None]:
    """The inputs that are given each time. The prompt is one text, also where lines are wanted."""
    given: list[Parameter | None] = []
    for index, kind in enumerate(inputs):
        if index == place:
            given.append(None if fixed else Parameter("prompt", "string", "The prompt"))
            continue
        # The API's docs are whoever's registered it.
        name = api.names[index] if api.names and _is_free(api.names[index]) else f"input{index}"
        given.append(Parameter(name, kind, f"Input {index + 1} of the model"))
    return given


def _named(parameters: Sequence[Parameter], names: Sequence[str]) -> list[Parameter]:
    if len(names) > len(parameters):
        reason = f"there are {len(parameters)} values to name, and {len(names)} names"
        raise InvalidOption("name", reason)
    chosen = [*names, *(each.name for each in parameters[len(names) :])]
    for name in chosen:
        if not _PARAMETER.fullmatch(name):
            raise InvalidOption("name", f"'{name}' cannot name a value; use one like 'owner'")
        if not _is_free(name):
            raise InvalidOption("name", f"'{name}' means something else there; use another")
    if len({snake(name) for name in chosen}) != len(chosen):
        raise InvalidOption("name", f"each value needs its own: {', '.join(chosen)}")
    return [
        Parameter(name, each.kind, each.meaning)
        for name, each in zip(chosen, parameters, strict=True)
    ]


def _is_free(name: str) -> bool:
    """Whether a name can be a value's, and means nothing else in either language."""
    is_taken = name in _TAKEN_PARAMETERS or keyword.iskeyword(name) or _SIZED.fullmatch(name)
    return bool(_PARAMETER.fullmatch(name)) and not is_taken


def snake(name: str) -> str:
    """A name as Python writes it: ``maximumAge`` becomes ``maximum_age``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
