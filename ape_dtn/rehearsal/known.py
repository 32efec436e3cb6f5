"""What is known of contracts without asking anybody: their names, events, errors and views."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import keccak, to_checksum_address

from ape_dtn.network.abi import ERC20, NodeManager, Router, SessionManager, members
from ape_dtn.network.registry import Contracts
from ape_dtn.rehearsal.report import Happened
from ape_dtn.types.abi import Event, Function, Log
from ape_dtn.types.reverts import Revert
from ape_dtn.types.values import to_json

if TYPE_CHECKING:
    from ethpm_types import ContractType
    from ethpm_types.abi import ErrorABI, EventABI, MethodABI


_NETWORK: dict[str, Event] = {
    event.topic: event
    for interface in (Router, SessionManager, NodeManager, ERC20)
    for event in members(interface, Event).values()
}


class Known:
    """The contracts that are known: those given, and those that Ape has in its memory.

    Args:
        types: Contract types by address.
        labels: Names for addresses, besides those of contract types.
    """

    def __init__(self, types: Mapping[str, ContractType], labels: Mapping[str, str]) -> None:
        self._types = dict(types)
        self.labels = dict(labels)

    def label(self, address: str) -> str:
        """What is at an address, as far as it is known, else the address."""
        if address in self.labels:
            return self.labels[address]
        name = getattr(self.type_at(address), "name", None)
        return str(name) if name else address

    def type_at(self, address: str) -> ContractType | None:
        """The type of the contract at an address."""
        from ape.exceptions import ApeException
        from ape.utils.basemodel import ManagerAccessMixin as access

        if address not in self._types:
            with contextlib.suppress(ApeException):
                found = access.chain_manager.contracts.contract_types.get_type(address)
                if found is not None:
                    self._types[address] = found
        return self._types.get(address)

    def happened(self, log: Log) -> Happened:
        """An event with its name and fields, as far as its contract, or another one, has it."""
        label = self.label(log.address)
        topic = "0x" + log.topics[0].hex() if log.topics else None
        if topic is not None:
            for abi in self._event_abis(log.address):
                if "0x" + keccak(text=abi.selector).hex() == topic:
                    with contextlib.suppress(DecodingError, ValueError):
                        return Happened(log.address, label, abi.name, _fields_of(abi, log))
            if topic in _NETWORK:
                with contextlib.suppress(DecodingError, ValueError):
                    event = _NETWORK[topic]
                    fields = {name: to_json(value) for name, value in event.decode(log).items()}
                    return Happened(log.address, label, event.name, fields)
        raw = {"topics": [to_json(each) for each in log.topics], "data": to_json(log.data)}
        return Happened(log.address, label, None, raw)

    def name_revert(self, revert: Revert, address: str) -> Revert:
        """A revert with its name and fields, where a contract that is known has that error."""
        data = revert.data
        if revert.name or len(data) < 4:
            return revert
        for abi in self._error_abis(address):
            if keccak(text=abi.selector)[:4] == data[:4]:
                kinds = [each.canonical_type for each in abi.inputs]
                names = [each.name or str(place) for place, each in enumerate(abi.inputs)]
                with contextlib.suppress(DecodingError, ValueError):
                    values = _decode(kinds, data[4:])
                    fields = dict(zip(names, values, strict=True))
                    return Revert(abi.name, fields, data, transaction=revert.transaction)
        return revert

    def function(self, address: str, selector: bytes) -> str:
        """The name of a function by its selector, else the selector."""
        found = self.type_at(address)
        for abi in found.methods if found else ():
            if keccak(text=abi.selector)[:4] == selector:
                return str(abi.name)
        return "0x" + selector.hex()

    def views(self, address: str) -> list[MethodABI]:
        """The views of a contract that take nothing and return something."""
        found = self.type_at(address)
        if found is None:
            return []
        return [abi for abi in found.view_methods if not abi.inputs and abi.outputs]

    def _event_abis(self, address: str) -> Iterator[EventABI]:
        for each in self._all_types(address):
            yield from each.events

    def _error_abis(self, address: str) -> Iterator[ErrorABI]:
        for each in self._all_types(address):
            yield from each.errors

    def _all_types(self, first: str) -> Iterator[ContractType]:
        """The type at this address, the others that are known, those of the project."""
        from ape.exceptions import ApeException
        from ape.utils.basemodel import ManagerAccessMixin as access

        if found := self.type_at(first):
            yield found
        yield from list(self._types.values())
        with contextlib.suppress(ApeException):
            yield from (access.local_project.manifest.contract_types or {}).values()


def labels_of(router: str, contracts: Contracts) -> dict[str, str]:
    """What people call the contracts of the network, by address."""
    return {
        contracts.fee_token: "fee token",
        contracts.node_manager: "node manager",
        contracts.model_manager: "model manager",
        contracts.session_manager: "session manager",
        router: "router",  # where it keeps the sessions itself, too
    }


def output_of(abi: MethodABI) -> Function:
    """A view of a contract type, as it is read."""
    return Function(f"{abi.name}()", ",".join(each.canonical_type for each in abi.outputs))


def _fields_of(abi: EventABI, log: Log) -> dict[str, Any]:
    indexed = [_topic_kind(each.canonical_type) for each in abi.inputs if each.indexed]
    plain = [each.canonical_type for each in abi.inputs if not each.indexed]
    topics = iter(
        value
        for kind, topic in zip(indexed, log.topics[1:], strict=True)
        for value in _decode([kind], topic)
    )
    data = iter(_decode(plain, log.data))
    return {
        each.name or str(place): to_json(next(topics) if each.indexed else next(data))
        for place, each in enumerate(abi.inputs)
    }


def _topic_kind(kind: str) -> str:
    """What a topic holds of an indexed field: of all that may be long, only its hash."""
    is_long = kind in ("string", "bytes") or kind.endswith(("]", ")"))
    return "bytes32" if is_long else kind


def _decode(kinds: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Values by their types, addresses in the capitals of their checksums."""
    found = Function("()", ",".join(kinds)).decode(data) if kinds else ()
    return (found,) if len(kinds) == 1 else tuple(found)


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses in the capitals of their checksums, each once."""
    return list(dict.fromkeys(to_checksum_address(each) for each in texts))
