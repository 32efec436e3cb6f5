"""Names and ABIs of contracts that are known locally, to decode events, errors and views."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import keccak, to_checksum_address

from ape_dtn.network.abi import ERC20, NodeManager, Router, SessionManager, members
from ape_dtn.network.registry import Contracts
from ape_dtn.rehearsal.report import EmittedEvent
from ape_dtn.types.abi import Event, Function, Log
from ape_dtn.types.abi_types import InvalidAbiType
from ape_dtn.types.reverts import Revert
from ape_dtn.types.values import to_json

if TYPE_CHECKING:
    from ethpm_types import ContractType
    from ethpm_types.abi import ErrorABI, EventABI, MethodABI


_NETWORK_EVENTS: dict[str, Event] = {
    event.topic: event
    for interface in (Router, SessionManager, NodeManager, ERC20)
    for event in members(interface, Event).values()
}


class KnownContracts:
    """Names and ABIs from given contract types, from Ape's cache and from the project.

    Args:
        types: Contract types by address.
        labels: Names by address, which override those of contract types.
    """

    def __init__(self, types: Mapping[str, ContractType], labels: Mapping[str, str]) -> None:
        self._types = dict(types)
        self.labels = dict(labels)

    def label(self, address: str) -> str:
        """Return the name of an address, or the address if it has none."""
        if address in self.labels:
            return self.labels[address]
        name = getattr(self.type_at(address), "name", None)
        return str(name) if name else address

    def type_at(self, address: str) -> ContractType | None:
        """Return the type of the contract at an address, if it is known."""
        from ape.exceptions import ApeException
        from ape.utils.basemodel import ManagerAccessMixin as access

        if address not in self._types:
            with contextlib.suppress(ApeException):
                contract_type = access.chain_manager.contracts.contract_types.get_type(address)
                if contract_type is not None:
                    self._types[address] = contract_type
        return self._types.get(address)

    def decode_event(self, log: Log) -> EmittedEvent:
        """Decode an event with the ABI of its contract, or else any other that has the event."""
        label = self.label(log.address)
        topic = "0x" + log.topics[0].hex() if log.topics else None
        if topic is not None:
            for abi in self._event_abis(log.address):
                if "0x" + keccak(text=abi.selector).hex() == topic:
                    with contextlib.suppress(DecodingError, ValueError):
                        return EmittedEvent(log.address, label, abi.name, _decode_fields(abi, log))
            if topic in _NETWORK_EVENTS:
                with contextlib.suppress(DecodingError, ValueError):
                    event = _NETWORK_EVENTS[topic]
                    fields = {name: to_json(value) for name, value in event.decode(log).items()}
                    return EmittedEvent(log.address, label, event.name, fields)
        raw = {"topics": [to_json(topic) for topic in log.topics], "data": to_json(log.data)}
        return EmittedEvent(log.address, label, None, raw)

    def decode_revert(self, revert: Revert, address: str) -> Revert:
        """Return the revert with its name and fields, or unchanged if no known ABI has it."""
        data = revert.data
        if revert.name or len(data) < 4:
            return revert
        for abi in self._error_abis(address):
            if keccak(text=abi.selector)[:4] == data[:4]:
                types = [parameter.canonical_type for parameter in abi.inputs]
                names = [parameter.name or str(index) for index, parameter in enumerate(abi.inputs)]
                with contextlib.suppress(DecodingError, ValueError):
                    values = _decode(types, data[4:])
                    fields = dict(zip(names, values, strict=True))
                    return Revert(abi.name, fields, data, transaction=revert.transaction)
        return revert

    def function(self, address: str, selector: bytes) -> str:
        """Return the name of a function, or its selector if the name is not known."""
        contract_type = self.type_at(address)
        for abi in contract_type.methods if contract_type else ():
            if keccak(text=abi.selector)[:4] == selector:
                return str(abi.name)
        return "0x" + selector.hex()

    def views(self, address: str) -> list[MethodABI]:
        """Return the views of a contract without arguments."""
        contract_type = self.type_at(address)
        if contract_type is None:
            return []
        return [abi for abi in contract_type.view_methods if not abi.inputs and _has_outputs(abi)]

    def _event_abis(self, address: str) -> Iterator[EventABI]:
        for contract_type in self._all_types(address):
            yield from contract_type.events

    def _error_abis(self, address: str) -> Iterator[ErrorABI]:
        for contract_type in self._all_types(address):
            yield from contract_type.errors

    def _all_types(self, first: str) -> Iterator[ContractType]:
        """Yield the type at an address, then all other known types, then the project's."""
        from ape.exceptions import ApeException
        from ape.utils.basemodel import ManagerAccessMixin as access

        if contract_type := self.type_at(first):
            yield contract_type
        yield from list(self._types.values())
        with contextlib.suppress(ApeException):
            yield from (access.local_project.manifest.contract_types or {}).values()


def labels_of(router: str, contracts: Contracts) -> dict[str, str]:
    """Return labels for the contracts of the network, by address."""
    return {
        contracts.fee_token: "fee token",
        contracts.node_manager: "node manager",
        contracts.model_manager: "model manager",
        contracts.session_manager: "session manager",
        router: "router",  # last: the reference router is its own session manager
    }


def output_of(abi: MethodABI) -> Function:
    """Convert a view's ABI to a function without arguments."""
    return Function(f"{abi.name}()", ",".join(output.canonical_type for output in abi.outputs))


def _has_outputs(abi: MethodABI) -> bool:
    try:
        return bool(output_of(abi).outputs)
    except InvalidAbiType:  # nested too deeply
        return False


def _decode_fields(abi: EventABI, log: Log) -> dict[str, Any]:
    indexed = [_topic_type(field.canonical_type) for field in abi.inputs if field.indexed]
    plain = [field.canonical_type for field in abi.inputs if not field.indexed]
    topics = iter(
        value
        for type_, topic in zip(indexed, log.topics[1:], strict=True)
        for value in _decode([type_], topic)
    )
    data = iter(_decode(plain, log.data))
    return {
        field.name or str(index): to_json(next(topics) if field.indexed else next(data))
        for index, field in enumerate(abi.inputs)
    }


def _topic_type(type_: str) -> str:
    """Return the type of a topic: an indexed field of dynamic or composite type is hashed."""
    is_hashed = type_ in ("string", "bytes") or type_.endswith(("]", ")"))
    return "bytes32" if is_hashed else type_


def _decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decode ABI data, with checksummed addresses."""
    values = Function("()", ",".join(types)).decode(data) if types else ()
    return (values,) if len(types) == 1 else tuple(values)


def checksummed(addresses: Iterable[str]) -> list[str]:
    """Return distinct checksummed addresses."""
    return list(dict.fromkeys(to_checksum_address(address) for address in addresses))
