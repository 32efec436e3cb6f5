"""Where the client of an account is, and the EIP-7702 delegate: on every chain the same.

Both follow from their code alone. The deterministic deployment proxy creates what has this code at
this address and nowhere else (EIP-1014), so that no file has to remember them.
"""

from __future__ import annotations

from functools import cache

from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.types.transactions import Transaction

# Creates a contract of the salt and the creation code that it is sent. Base, Sepolia and Anvil have
# it, as most chains do.
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
SALT = b"\0" * 32

# What creating may use: it cannot be estimated where something else has to be created before.
CREATE_IMPLEMENTATION_GAS = 2_500_000
CREATE_DELEGATE_GAS = 1_500_000
CREATE_CLIENT_GAS = 120_000

# How the code of an account begins that runs another's (EIP-7702).
_DELEGATION = bytes.fromhex("ef0100")


@cache
def implementation() -> str:
    """The contract that all clients run (``contracts/client/DtnClient.sol``)."""
    return _created(artifacts.creation_code("DtnClient"))


@cache
def delegate() -> str:
    """The contract that accounts run as their own (``contracts/client/DtnDelegate.sol``)."""
    return _created(artifacts.creation_code("DtnDelegate"))


@cache
def client_of(account: str) -> str:
    """The client of an account, whether it was created or not (``DtnClient.clientOf``)."""
    return _created(_client_code(account))


def create_implementation() -> Transaction:
    """Creates what all clients of a chain run; once on each chain, at anybody's expense."""
    code = artifacts.creation_code("DtnClient")
    return Transaction(DEPLOYER, SALT + code, gas_limit=CREATE_IMPLEMENTATION_GAS)


def create_delegate() -> Transaction:
    """Creates what all delegated accounts of a chain run; once on each chain."""
    code = artifacts.creation_code("DtnDelegate")
    return Transaction(DEPLOYER, SALT + code, gas_limit=CREATE_DELEGATE_GAS)


def create_client(account: str) -> Transaction:
    """Creates the client of an account. It moves no money, and anybody may do it."""
    return Transaction(DEPLOYER, SALT + _client_code(account), gas_limit=CREATE_CLIENT_GAS)


def delegated_to(code: bytes) -> str | None:
    """Whose code an account runs, by its own; None where it runs none by delegation."""
    if len(code) == 23 and code.startswith(_DELEGATION):
        return to_checksum_address(code[len(_DELEGATION) :])
    return None


def delegation(contract: str) -> bytes:
    """The code of an account that runs a contract's."""
    return _DELEGATION + bytes.fromhex(contract[2:])


def runtime_code(account: str) -> bytes:
    """The code of an account's client: OpenZeppelin's clone, which ends with its owner."""
    before, after = "363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3"
    return bytes.fromhex(before + implementation()[2:] + after + account[2:])


def _client_code(account: str) -> bytes:
    runtime = runtime_code(account)
    return bytes.fromhex(f"61{len(runtime):04x}3d81600a3d39f3") + runtime


def _created(code: bytes) -> str:
    """Where the deployment proxy creates a contract."""
    deployer = bytes.fromhex(DEPLOYER[2:])
    return to_checksum_address(keccak(b"\xff" + deployer + SALT + keccak(code))[12:])
