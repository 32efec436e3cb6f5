"""A call as it is typed: CONTRACT METHOD ARGS, each as users of Ape write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.rehearsal.errors import UnknownContract, UnknownMethod
from ape_dtn.rehearsal.rehearsal import Call
from ape_dtn.types import values
from ape_dtn.types.errors import BadInput, DtnError, InvalidAddress
from ape_dtn.types.ids import is_address, to_address

if TYPE_CHECKING:
    from ethpm_types import ContractType
    from ethpm_types.abi import ABIType, MethodABI

    from ape_dtn.node.answering import Question


def call(contract: str, method: str, args: Sequence[str], abi: Path | None = None) -> Call:
    """What was typed, as a call.

    Args:
        contract: An address, a name that Ape can resolve, a contract of the project (its latest
            deployment), or ``NAME:ADDRESS``.
        method: The function's name, or its signature, as in ``ask(string)``.
        args: Its arguments: amounts may be ``1.5 ether``, addresses aliases of accounts, and arrays
            and structs are JSON.
        abi: A file with the contract's ABI, or an artifact that holds it.

    Raises:
        UnknownContract: There is no such contract, or its functions are not known.
        UnknownMethod: It has no such function, or not for so many arguments, or for these.
    """
    address, contract_type = _contract(contract, abi)
    chosen = _method(contract_type, method, len(args))
    read = [_value(method, each, text) for each, text in zip(chosen.inputs, args, strict=True)]
    return Call(chosen.selector, address, _encoded(chosen, read), contract_type)


def address_of(text: str) -> str:
    """The address that is meant: an address, an account's alias, or a name that Ape can resolve.

    Raises:
        InvalidAddress: It is none of these.
    """
    from ape.exceptions import ApeException
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    if is_address(text):
        return to_address(text)
    accounts = access.account_manager
    try:
        if text.startswith("TEST::"):
            return str(accounts.test_accounts[int(text.removeprefix("TEST::"))].address)
        if text in accounts.aliases:
            return str(accounts.load(text).address)
        return str(access.conversion_manager.convert(text, AddressType))
    except (ApeException, ValueError, IndexError) as err:
        raise InvalidAddress(text) from err


def amount_of(text: str) -> int:
    """An amount of the chain's coin in wei, typed as ``0.1 ether`` or as a number of wei.

    Raises:
        BadInput: It is none.
    """
    try:
        return _integer(text)
    except ValueError as err:
        raise BadInput(f"'{text}' is no amount of wei: write it as in '0.1 ether'.") from err


def answer_of(text: str) -> Any:
    """What gives an answer that was typed, when it is known of which type it has to be.

    ``@FILE`` stands for what is in the file.
    """

    def give(question: Question) -> Any:
        try:
            if not text.startswith("@"):
                return values.parse(question.output, text)
            content = Path(text[1:]).read_bytes()
            if question.output == "bytes":
                return content
            return values.parse(question.output, content.decode())
        except OSError as err:
            raise BadInput(f"{text[1:]} cannot be read: {err.strerror}.") from err
        except ValueError as err:
            raise BadInput(
                f"{question.model} gives a {question.output}, and '{text}' is none."
            ) from err

    return give


def _contract(text: str, abi: Path | None) -> tuple[str, ContractType]:
    name, _, where = text.rpartition(":")
    if name and name != "TEST:":  # of the project, at an address
        return _address(text, where), _type_in(abi, name) if abi else _type_of(text, name)
    if abi is not None:
        return _address(text, text), _type_in(abi, text)
    if not _is_of_project(text):
        address = _address(text, text)
        return address, _type_at(text, address)
    deployed = list(_container(text, text).deployments)
    if not deployed:
        raise UnknownContract(text, "the project has it, and no deployment of it is known here")
    return str(deployed[-1].address), deployed[-1].contract_type


def _address(contract: str, text: str) -> str:
    try:
        return address_of(text)
    except InvalidAddress as err:
        raise UnknownContract(contract, f"'{text}' is no address and no contract of it") from err


def _is_of_project(name: str) -> bool:
    from ape.utils.basemodel import ManagerAccessMixin as access

    return (
        name.isidentifier()
        and not name.startswith("0x")
        and (access.local_project.get_contract(name) is not None)
    )


def _container(contract: str, name: str) -> Any:
    from ape.utils.basemodel import ManagerAccessMixin as access

    found = access.local_project.get_contract(name)
    if found is None:
        raise UnknownContract(contract, f"the project has no contract {name}")
    return found


def _type_of(contract: str, name: str) -> ContractType:
    found: ContractType = _container(contract, name).contract_type
    return found


def _type_at(contract: str, address: str) -> ContractType:
    """What Ape knows of an address: from its caches, or the explorer of the network."""
    from ape.exceptions import ApeException
    from ape.utils.basemodel import ManagerAccessMixin as access

    try:
        found: ContractType | None = access.chain_manager.contracts.get(address)
    except ApeException as err:
        raise UnknownContract(contract, f"its functions are not known: {err}") from err
    if found is None:
        raise UnknownContract(contract, "its functions are not known")
    return found


def _type_in(path: Path, name: str) -> ContractType:
    """The contract type that a file has the ABI of: a list, or an artifact of any compiler."""
    from ethpm_types import ContractType

    try:
        found = json.loads(path.read_text())
        abi = found["abi"] if isinstance(found, Mapping) else found
        named = found.get("contractName") if isinstance(found, Mapping) else None
        own_name = name if name.isidentifier() and not name.startswith("0x") else path.stem
        return ContractType(abi=abi, contractName=named or own_name)
    except (OSError, ValueError, KeyError, TypeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it holds no ABI"
        raise BadInput(f"{path} cannot be used: {reason}.") from err


def _method(contract_type: ContractType, method: str, given: int) -> MethodABI:
    all_of_them = list(contract_type.mutable_methods)
    listed = [abi.selector for abi in all_of_them]
    if any(method in (abi.name, abi.selector) for abi in contract_type.view_methods):
        raise UnknownMethod(method, "it is a view, which changes nothing", listed)
    named = [abi for abi in all_of_them if method in (abi.name, abi.selector)]
    if not named:
        raise UnknownMethod(method, "the contract has no such function", listed)
    fitting = [abi for abi in named if len(abi.inputs) == given]
    signatures = [abi.selector for abi in fitting or named]
    if not fitting:
        raise UnknownMethod(method, f"{given} arguments are given", signatures)
    if len(fitting) > 1:
        raise UnknownMethod(method, "there are several: give the signature", signatures)
    return fitting[0]


def _value(method: str, abi: ABIType, text: str) -> Any:
    kind = abi.canonical_type
    is_nested = kind.endswith(("]", ")"))
    try:
        given = json.loads(text, parse_float=Decimal) if is_nested else text
        return _read(abi, kind, given)
    except (ValueError, DtnError) as err:
        name = abi.name or "an argument"
        raise UnknownMethod(method, f"for {name}, '{text}' is no {kind}", []) from err


def _read(abi: ABIType, kind: str, given: Any) -> Any:
    """A value of an ABI type, from text, or from what JSON has for it.

    Raises:
        ValueError: It is no such value.
    """
    if kind.endswith("]"):
        if not isinstance(given, list):
            raise ValueError(given)
        item = kind[: kind.rindex("[")]
        return [_read(abi, item, each) for each in given]
    if kind.endswith(")"):
        parts = abi.components or []
        fields = given
        if isinstance(given, Mapping):
            fields = [given[part.name] for part in parts if part.name in given]
        if not isinstance(fields, list) or len(fields) != len(parts) or len(given) != len(parts):
            raise ValueError(given)
        return tuple(
            _read(part, part.canonical_type, each) for part, each in zip(parts, fields, strict=True)
        )
    if isinstance(given, str) and kind == "address":
        return address_of(given)
    if isinstance(given, str) and kind.startswith(("int", "uint")):
        return _integer(given)
    return values.from_json(kind, given)


def _integer(text: str) -> int:
    """A number, or an amount as Ape takes it.

    Raises:
        ValueError: It is neither.
    """
    from ape.exceptions import ConversionError
    from ape.utils.basemodel import ManagerAccessMixin as access

    try:
        return int(values.parse("int256", text))
    except ValueError:
        pass
    try:
        return int(access.conversion_manager.convert(text, int))
    except ConversionError as err:
        raise ValueError(text) from err


def _encoded(abi: MethodABI, read: Sequence[Any]) -> bytes:
    from eth_abi import encode
    from eth_abi.exceptions import EncodingError
    from eth_utils import keccak

    kinds = [each.canonical_type for each in abi.inputs]
    try:
        return keccak(text=abi.selector)[:4] + encode(kinds, read)
    except EncodingError as err:  # such as a number that is too large for its type
        raise UnknownMethod(abi.selector, str(err), []) from err
