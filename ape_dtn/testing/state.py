"""Changes to a local chain's state that no transaction could make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eth_utils import to_canonical_address

from ape_dtn.chain import rpc
from ape_dtn.testing.errors import StateFixed
from ape_dtn.types.rpc import Failure, as_bytes

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@contextmanager
def code_replaced(provider: ProviderAPI, address: str, code: bytes) -> Iterator[None]:
    """A contract has other code meanwhile.

    Raises:
        StateFixed: It is neither Anvil nor Ape's in-process chain.
    """
    before = as_bytes(rpc.result(provider, "eth_getCode", [address, "latest"]))
    set_code(provider, address, code)
    try:
        yield
    finally:
        set_code(provider, address, before)
        _settle(provider)


def set_code(provider: ProviderAPI, address: str, code: bytes) -> None:
    """Gives an address code. On the in-process chain it is there with the next block.

    Raises:
        StateFixed: It is neither Anvil nor Ape's in-process chain.
    """
    if _in_process(provider):
        _edit(provider, lambda state: state.set_code(to_canonical_address(address), code))
    else:
        _ask(provider, "anvil_setCode", [address, "0x" + code.hex()])


def _settle(provider: ProviderAPI) -> None:
    """Makes an edit part of the latest block, which is what views read."""
    if _in_process(provider):
        provider.mine()


def _ask(provider: ProviderAPI, method: str, params: list[Any]) -> None:
    (answer,) = rpc.ask(provider, [(method, params)])
    if isinstance(answer, Failure):
        raise StateFixed(provider.name, answer.message)


def _in_process(provider: ProviderAPI) -> bool:
    return hasattr(provider, "evm_backend")


def _py_evm(provider: ProviderAPI) -> Any:
    return provider.evm_backend.chain  # type: ignore[attr-defined]  # of the in-process provider


def _edit(provider: ProviderAPI, edit: Callable[[Any], None]) -> None:
    """Edits the state that the next block begins with, as py-evm has it."""
    chain = _py_evm(provider)
    state = chain.get_vm(chain.header).state
    edit(state)
    state.persist()
    chain.header = chain.header.copy(state_root=state.state_root)
