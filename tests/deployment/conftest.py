"""An Anvil with the chain id of Sepolia, which Ape and `ape dtn` treat as a public chain."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ape
import pytest
from ape.api.networks import NetworkAPI
from eth_utils import to_checksum_address

from ape_dtn import artifacts
from tests.cli.shell import Chain, Done, Shell, anvil
from tests.conftest import Cast
from tests.sdk import safe as real

CHAIN_ID = 11155111
ALICE, BOB, PASSPHRASE = "alice", "bob", "on these tests alone"

# Anvil mines each transaction at once, and no later blocks that would confirm it.
CONFIG = "ethereum:\n  sepolia:\n    required_confirmations: 0\n    block_time: 0\n"


@dataclass(frozen=True)
class Sepolia:
    """The chain, and a shell with accounts on it.

    Attributes:
        chain: The chain.
        shell: The shell, with the keys of alice and bob.
        token: A token with 6 decimals.
        alice: The address of the account that deploys.
        bob: The address of another account.
    """

    chain: Chain
    shell: Shell
    token: str
    alice: str
    bob: str

    @property
    def network(self) -> tuple[str, str]:
        return "--network", f"ethereum:sepolia:{self.chain.url}"

    def dtn(self, *command: str, answers: str | None = None) -> Done:
        return self.shell.dtn(*command, *self.network, answers=answers)

    def deploying(self, *options: str) -> tuple[str, ...]:
        return ("deploy", "--account", ALICE, "--fee-token", self.token, *options)

    def deploy(self, *options: str) -> Done:
        return self.dtn(*self.deploying(*options), "-y")

    @property
    def sent(self) -> int:
        """The number of transactions that alice has sent."""
        return self.chain.nonce(self.alice)

    def file(self, name: str) -> Path:
        return self.shell.here / name


@contextmanager
def sepolia_in(folder: Path, cast: Cast) -> Iterator[Sepolia]:
    """A new chain with a token, and a new home folder."""
    if shutil.which("ape") is None or shutil.which("anvil") is None:
        pytest.fail("`ape` and `anvil` have to be on PATH: use `make test`")
    keys = {ALICE: cast.owner, BOB: cast.customer}
    passphrases = {f"APE_ACCOUNTS_{name}_PASSPHRASE": PASSPHRASE for name in keys}
    shell = Shell(folder).having(**passphrases)
    (shell.here / "ape-config.yaml").write_text(CONFIG)
    for name, account in keys.items():
        shell.keep_key(name, account.private_key.removeprefix("0x"), PASSPHRASE)
    with anvil(shell, "--chain-id", str(CHAIN_ID)) as chain:
        code = "0x" + artifacts.creation_code("TestUSDC").hex()
        creation = {"from": str(cast.stranger.address), "data": code}
        created = chain.rpc("eth_sendTransaction", creation)
        while (receipt := chain.rpc("eth_getTransactionReceipt", created)) is None:
            time.sleep(0.02)
        token = receipt["contractAddress"]
        addresses = to_checksum_address(token), str(cast.owner.address), str(cast.customer.address)
        yield Sepolia(chain, shell, *addresses)


@pytest.fixture
def sepolia(tmp_path: Path, cast: Cast) -> Iterator[Sepolia]:
    with sepolia_in(tmp_path, cast) as chain:
        yield chain


def create_safe(sepolia: Sepolia, cast: Cast) -> str:
    """Create a Safe 1.5.0 owned by bob alone, and register it in Ape as "safe"."""
    choice = sepolia.network[1]
    with ape.networks.parse_network_choice(choice) as provider, pytest.MonkeyPatch.context() as mp:
        for name in ("required_confirmations", "block_time"):
            mp.setattr(NetworkAPI, name, 0)
        real.create_canonical(provider, cast.stranger, "libraries/MultiSendCallOnly")
        address = real.create_safe(provider, cast.stranger, [cast.customer], 1)
    folder = sepolia.shell.folder / ".ape" / "safe"
    folder.mkdir(parents=True)
    saved = {"address": address, "deployed_chain_ids": [CHAIN_ID]}
    (folder / "safe.json").write_text(json.dumps(saved))
    return address
