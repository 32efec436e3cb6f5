"""Safe contracts as published, accounts of ape-safe, and a batch executor for EIP-7702."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils import keccak, to_checksum_address

from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.network import reverts
from ape_dtn.network.client_contract import DEPLOYER
from ape_dtn.types.abi import Event, Function
from ape_dtn.types.rpc import as_bytes
from ape_dtn.types.transactions import Transaction, contract_call

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "node_modules/@safe-global/safe-smart-account/build/artifacts/contracts"

# The proxy that deploys the contracts of Safe on public chains. It has the same code as Anvil's
# deployment proxy.
SAFE_DEPLOYER = "0x914d7Fec6aaC8cd542e72Bca78B30650d45643d7"
SALT = b"\0" * 32

NOBODY = "0x" + "00" * 20
SOMEBODY = "0x" + "5e" * 20
SETUP = Function("setup(address[],uint256,address,bytes,address,address,uint256,address)")
CREATE_PROXY = Function("createProxyWithNonce(address,bytes,uint256)", "address")
PROXY_CREATION = Event("ProxyCreation(address indexed proxy, address singleton)")
EXECUTION_SUCCESS = Event("ExecutionSuccess(bytes32 indexed txHash, uint256 payment)")
GET_NONCE = Function("nonce()", "uint256")

BATCHING = """
// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;
import {ERC7821} from "@openzeppelin/contracts/account/extensions/draft-ERC7821.sol";
contract Batching is ERC7821 {}
"""


def contract_of_safe(path: str) -> bytes:
    artifact = json.loads((CONTRACTS / f"{path}.sol/{Path(path).name}.json").read_text())
    return bytes.fromhex(artifact["bytecode"][2:])


def create_canonical(provider: Any, payer: Any, path: str) -> str:
    """Deploys a contract of Safe at its public address, unless it exists; returns the address."""
    code = contract_of_safe(path)
    deployer = bytes.fromhex(SAFE_DEPLOYER[2:])
    address = to_checksum_address(keccak(b"\xff" + deployer + SALT + keccak(code))[12:])
    if rpc.result(provider, "eth_getCode", [address, "latest"]) == "0x":
        proxy = rpc.result(provider, "eth_getCode", [DEPLOYER, "latest"])
        rpc.result(provider, "anvil_setCode", [SAFE_DEPLOYER, proxy])
        transactions.send(
            provider, payer, Transaction(SAFE_DEPLOYER, SALT + code), reverts.NO_CONTEXT
        )
    return address


def create_safe(provider: Any, payer: Any, owners: Sequence[Any], threshold: int) -> str:
    """Creates a Safe 1.5.0 with its factory; returns its address."""
    singleton, factory, handler = (
        create_canonical(provider, payer, path)
        for path in (
            "SafeL2",
            "proxies/SafeProxyFactory",
            "handler/CompatibilityFallbackHandler",
        )
    )
    addresses = [str(owner.address) for owner in owners]
    nobody: tuple[Any, ...] = (NOBODY, b"", handler, NOBODY, 0, NOBODY)
    setup = SETUP.encode(addresses, threshold, *nobody)
    create: Any = (singleton, setup, 0)
    receipt = transactions.send(
        provider, payer, contract_call(factory, CREATE_PROXY, *create), reverts.NO_CONTEXT
    )
    (created,) = PROXY_CREATION.find(receipt.logs, factory)
    return str(created["proxy"])


def create_older_safe(
    provider: Any, payer: Any, owners: Sequence[Any], threshold: int, version: str
) -> str:
    """Creates a Safe of an older version with the contracts of ape-safe; returns its address."""
    from ape_safe.packages import PackageType

    singleton = transactions.create(provider, payer, _creation_code(PackageType.SINGLETON(version)))
    factory = transactions.create(
        provider, payer, _creation_code(PackageType.PROXY_FACTORY(version))
    )
    addresses = [str(owner.address) for owner in owners]
    setup = SETUP.encode(addresses, threshold, NOBODY, b"", NOBODY, NOBODY, 0, NOBODY)
    create: Any = (singleton, setup, 0)
    receipt = transactions.send(
        provider, payer, contract_call(factory, CREATE_PROXY, *create), reverts.NO_CONTEXT
    )
    # In version 1.3.0, the proxy is not an indexed argument.
    return str(
        next(
            to_checksum_address((log.topics[1:] or [log.data])[0][12:32])
            for log in receipt.logs
            if log.address == factory
        )
    )


def _creation_code(container: Any) -> bytes:
    return as_bytes(container.contract_type.deployment_bytecode.bytecode)


@contextmanager
def loaded(address: str) -> Iterator[Any]:
    """The Safe as an account of Ape with an alias, as after `ape safe add`."""
    from ape import accounts

    container: Any = accounts.containers["safe"]
    alias = f"safe-{address}"
    container.save_account(alias, address)
    try:
        yield accounts.load(alias)
    finally:
        container.delete_account(alias)


def run_as(provider: Any, account: Any, contract: str) -> None:
    """Delegates an account to a contract (EIP-7702)."""
    # The recipient is another address, because the contract may reject calls without data.
    nothing = Transaction(SOMEBODY, b"", gas_limit=100_000, delegate=contract)
    transactions.send(provider, account, nothing, reverts.NO_CONTEXT)


def nonce_of(provider: Any, safe: Any) -> int:
    return int(reads.read_one(provider, reads.Call(str(safe.address), GET_NONCE)))


@cache
def batching_code() -> bytes:
    """Creation code of OpenZeppelin's batch executor (ERC-7821)."""
    import solcx

    folder = ROOT / "node_modules"
    compiled = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {"Batching.sol": {"content": BATCHING}},
            "settings": {
                "evmVersion": "cancun",
                "outputSelection": {"Batching.sol": {"Batching": ["evm.bytecode.object"]}},
            },
        },
        solc_version="0.8.30",
        base_path=os.fspath(folder),
    )
    found: str = compiled["contracts"]["Batching.sol"]["Batching"]["evm"]["bytecode"]["object"]
    return bytes.fromhex(found)
