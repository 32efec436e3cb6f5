"""Parsing calls, addresses, amounts and answers as users type them, in Ape's syntax."""

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
    """Parse a call.

    Args:
        contract: An address, a name that Ape can resolve, a contract of the project (its latest
            deployment), or ``NAME:ADDRESS``.
        method: The function's name, or its signature, such as ``ask(string)``.
        args: The arguments. Integers may have a unit (``1.5 ether``), addresses may be aliases of
            accounts, and arrays and structs are JSON.
        abi: A JSON file with the contract's ABI, or a compiler artifact.

    Raises:
        UnknownContract: The contract or its ABI cannot be found.
        UnknownMethod: The contract does not have the function, or the arguments do not fit.
    """
    address, contract_type = _contract(contract, abi)
    function = _method(contract_type, method, len(args))
    parsed = [
        _value(method, parameter, text)
        for parameter, text in zip(function.inputs, args, strict=True)
    ]
    return Call(function.selector, address, _encode(function, parsed), contract_type)


def address_of(text: str) -> str:
    """Resolve an address, an account's alias, or a name that Ape knows.

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
    """Parse an amount of native currency, such as ``0.1 ether`` or a number of wei, as wei.

    Raises:
        BadInput: It is not an amount.
    """
    try:
        return _integer(text)
    except ValueError as err:
        raise BadInput(
            f"'{text}' is not an amount: write wei, or a unit as in '0.1 ether'."
        ) from err


def answer_of(text: str) -> Any:
    """Return a function that parses an answer by the output type of the question.

    ``@FILE`` is the content of a file.
    """

    def answer(question: Question) -> Any:
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
                f"An answer of {question.model} must be a {question.output}, not '{text}'."
            ) from err

    return answer


def _contract(text: str, abi: Path | None) -> tuple[str, ContractType]:
    name, _, where = text.rpartition(":")
    if name and name != "TEST:":  # NAME:ADDRESS, and not TEST::0
        return _address(text, where), _type_in(abi, name) if abi else _type_of(text, name)
    if abi is not None:
        return _address(text, text), _type_in(abi, text)
    if not _is_in_project(text):
        address = _address(text, text)
        return address, _type_at(text, address)
    deployments = list(_container(text, text).deployments)
    if not deployments:
        raise UnknownContract(text, "no deployment of this contract is known")
    return str(deployments[-1].address), deployments[-1].contract_type


def _address(contract: str, text: str) -> str:
    try:
        return address_of(text)
    except InvalidAddress as err:
        reason = f"'{text}' is neither an address nor a contract of the project"
        raise UnknownContract(contract, reason) from err


def _is_in_project(name: str) -> bool:
    from ape.utils.basemodel import ManagerAccessMixin as access

    return (
        name.isidentifier()
        and not name.startswith("0x")
        and (access.local_project.get_contract(name) is not None)
    )


def _container(contract: str, name: str) -> Any:
    from ape.utils.basemodel import ManagerAccessMixin as access

    container = access.local_project.get_contract(name)
    if container is None:
        raise UnknownContract(contract, f"the project has no contract {name}")
    return container


def _type_of(contract: str, name: str) -> ContractType:
    contract_type: ContractType = _container(contract, name).contract_type
    return contract_type


def _type_at(contract: str, address: str) -> ContractType:
    """Return the type at an address, from Ape's caches or the network's explorer."""
    from ape.exceptions import ApeException
    from ape.utils.basemodel import ManagerAccessMixin as access

    try:
        contract_type: ContractType | None = access.chain_manager.contracts.get(address)
    except ApeException as err:
        raise UnknownContract(contract, f"its ABI is not known: {err}") from err
    if contract_type is None:
        raise UnknownContract(contract, "its ABI is not known")
    return contract_type


def _type_in(path: Path, name: str) -> ContractType:
    """Read a contract type from a file with an ABI, or from a compiler artifact."""
    from ethpm_types import ContractType

    try:
        document = json.loads(path.read_text())
        is_artifact = isinstance(document, Mapping)
        abi = document["abi"] if is_artifact else document
        artifact_name = document.get("contractName") if is_artifact else None
        own_name = name if name.isidentifier() and not name.startswith("0x") else path.stem
        return ContractType(abi=abi, contractName=artifact_name or own_name)
    except (OSError, ValueError, KeyError, TypeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it contains no ABI"
        raise BadInput(f"Cannot use {path}: {reason}.") from err


def _method(contract_type: ContractType, method: str, arguments: int) -> MethodABI:
    mutable = list(contract_type.mutable_methods)
    all_signatures = [abi.selector for abi in mutable]
    if any(method in (abi.name, abi.selector) for abi in contract_type.view_methods):
        raise UnknownMethod(method, "it is a view, which changes nothing", all_signatures)
    named = [abi for abi in mutable if method in (abi.name, abi.selector)]
    if not named:
        raise UnknownMethod(method, "the contract has no such function", all_signatures)
    fitting = [abi for abi in named if len(abi.inputs) == arguments]
    signatures = [abi.selector for abi in fitting or named]
    if not fitting:
        raise UnknownMethod(method, f"it does not take {arguments} arguments", signatures)
    if len(fitting) > 1:
        reason = "several functions have this name, so give the signature"
        raise UnknownMethod(method, reason, signatures)
    return fitting[0]


def _value(method: str, abi: ABIType, text: str) -> Any:
    type_ = abi.canonical_type
    is_nested = type_.endswith(("]", ")"))
    try:
        given = json.loads(text, parse_float=Decimal) if is_nested else text
        return _parse(abi, type_, given)
    except (ValueError, DtnError) as err:
        name = abi.name or "an argument"
        raise UnknownMethod(method, f"for {name}, '{text}' is not a valid {type_}", []) from err


def _parse(abi: ABIType, type_: str, given: Any) -> Any:
    """Parse a value of an ABI type from text or JSON.

    Raises:
        ValueError: It is not a value of the type.
    """
    if type_.endswith("]"):
        if not isinstance(given, list):
            raise ValueError(given)
        item_type = type_[: type_.rindex("[")]
        return [_parse(abi, item_type, item) for item in given]
    if type_.endswith(")"):
        components = abi.components or []
        fields = given
        if isinstance(given, Mapping):
            fields = [given[part.name] for part in components if part.name in given]
        sizes = {len(fields), len(components), len(given)} if isinstance(fields, list) else set()
        if len(sizes) != 1:
            raise ValueError(given)
        return tuple(
            _parse(part, part.canonical_type, field)
            for part, field in zip(components, fields, strict=True)
        )
    if isinstance(given, str) and type_ == "address":
        return address_of(given)
    if isinstance(given, str) and type_.startswith(("int", "uint")):
        return _integer(given)
    return values.from_json(type_, given)


def _integer(text: str) -> int:
    """Parse an integer, or an amount in Ape's syntax.

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


def _encode(abi: MethodABI, arguments: Sequence[Any]) -> bytes:
    from eth_abi import encode
    from eth_abi.exceptions import EncodingError
    from eth_utils import keccak

    types = [parameter.canonical_type for parameter in abi.inputs]
    try:
        return keccak(text=abi.selector)[:4] + encode(types, arguments)
    except EncodingError as err:  # for example, a number too large for its type
        raise UnknownMethod(abi.selector, str(err), []) from err
