"""Addresses and creation of the client contracts and of the EIP-7702 delegate.

The deterministic deployment proxy creates them with CREATE2 (EIP-1014). Their addresses depend on
their code only, and are the same on every chain.
"""

from __future__ import annotations

from functools import cache

from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.types.transactions import Transaction

# The deterministic deployment proxy. Its call data is a salt and creation code. Base, Sepolia,
# Anvil and most other chains have it.
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
SALT = b"\0" * 32

# Gas limits of the creations. They are fixed, because the creation of a client cannot be estimated
# before its implementation exists.
CREATE_IMPLEMENTATION_GAS = 2_500_000
CREATE_DELEGATE_GAS = 1_500_000
CREATE_CLIENT_GAS = 120_000

# The prefix of the code of a delegated account (EIP-7702).
_DELEGATION = bytes.fromhex("ef0100")


@cache
def implementation() -> str:
    """Address of the implementation of all clients (``contracts/client/DtnClient.sol``)."""
    return _created(artifacts.creation_code("DtnClient"))


@cache
def delegate() -> str:
    """Address of the EIP-7702 delegate (``contracts/client/DtnDelegate.sol``)."""
    return _created(artifacts.creation_code("DtnDelegate"))


@cache
def client_of(account: str) -> str:
    """Address of an account's client, even if it is not created yet (``DtnClient.clientOf``)."""
    return _created(_client_code(account))


def create_implementation() -> Transaction:
    """The transaction that creates the implementation of all clients, once on each chain."""
    code = artifacts.creation_code("DtnClient")
    return Transaction(DEPLOYER, SALT + code, gas_limit=CREATE_IMPLEMENTATION_GAS)


def create_delegate() -> Transaction:
    """The transaction that creates the EIP-7702 delegate, once on each chain."""
    code = artifacts.creation_code("DtnDelegate")
    return Transaction(DEPLOYER, SALT + code, gas_limit=CREATE_DELEGATE_GAS)


def create_client(account: str) -> Transaction:
    """The transaction that creates an account's client. It moves no money; anyone can send it."""
    return Transaction(DEPLOYER, SALT + _client_code(account), gas_limit=CREATE_CLIENT_GAS)


def delegated_to(code: bytes) -> str | None:
    """The contract that an account's code delegates to (EIP-7702); None without a delegation."""
    if len(code) == 23 and code.startswith(_DELEGATION):
        return to_checksum_address(code[len(_DELEGATION) :])
    return None


def delegation(contract: str) -> bytes:
    """The code of an account that delegates to a contract (EIP-7702)."""
    return _DELEGATION + bytes.fromhex(contract[2:])


def runtime_code(account: str) -> bytes:
    """The runtime code of an account's client: an OpenZeppelin clone with the owner appended."""
    before, after = "363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3"
    return bytes.fromhex(before + implementation()[2:] + after + account[2:])


def _client_code(account: str) -> bytes:
    runtime = runtime_code(account)
    return bytes.fromhex(f"61{len(runtime):04x}3d81600a3d39f3") + runtime


def _created(code: bytes) -> str:
    """The CREATE2 address of a contract, computed from its creation code."""
    deployer = bytes.fromhex(DEPLOYER[2:])
    return to_checksum_address(keccak(b"\xff" + deployer + SALT + keccak(code))[12:])
