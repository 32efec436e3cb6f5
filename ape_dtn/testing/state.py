"""Changes of a local chain's state without a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eth_utils import to_canonical_address

from ape_dtn.chain import rpc
from ape_dtn.testing.errors import StateFixed
from ape_dtn.types.rpc import Failure, as_bytes

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@contextmanager
def code_replaced(provider: ProviderAPI, address: str, code: bytes) -> Iterator[None]:
    """Replace a contract's code while the context is open.

    Raises:
        StateFixed: The chain is neither Anvil nor Ape's in-process chain.
    """
    original = as_bytes(rpc.result(provider, "eth_getCode", [address, "latest"]))
    set_code(provider, address, code)
    try:
        yield
    finally:
        set_code(provider, address, original)
        if _is_in_process(provider):
            provider.mine()  # views read the latest block


def set_code(provider: ProviderAPI, address: str, code: bytes) -> None:
    """Set the code at an address. On the in-process chain, it takes effect with the next block.

    Raises:
        StateFixed: The chain is neither Anvil nor Ape's in-process chain.
    """
    if _is_in_process(provider):
        chain = provider.evm_backend.chain  # type: ignore[attr-defined]  # of the in-process provider
        state = chain.get_vm(chain.header).state
        state.set_code(to_canonical_address(address), code)
        state.persist()
        chain.header = chain.header.copy(state_root=state.state_root)
        return
    (result,) = rpc.ask(provider, [("anvil_setCode", [address, "0x" + code.hex()])])
    if isinstance(result, Failure):
        raise StateFixed(provider.name, result.message)


def _is_in_process(provider: ProviderAPI) -> bool:
    return hasattr(provider, "evm_backend")
