"""`ape dtn devnet`: used from other processes, stopped, continued and forked."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from ape_dtn.devnet import anvil as child
from ape_dtn.devnet.anvil import free_port
from ape_dtn.devnet.forking import endpoint
from ape_dtn.errors import AnvilFailed, AnvilMissing, BadInput, PortTaken, StateUnusable
from ape_dtn.types.polling import POLICY
from tests.backends.servers import KEY, aimock

from .in_process import InProcess
from .json_rules import text_of
from .shell import (
    CUSTOMER,
    CUSTOMER_ADDRESS,
    FOUNDRY,
    OWNER_ADDRESS,
    Chain,
    Running,
    anvil,
    parsed,
)

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
# Accounts of the user's: one with a key file, and ones that are only known by their addresses.
ALIAS, PASSPHRASE = "alice", "correct horse battery staple"
NEWCOMER = "0x00000000000000000000000000000000C0FFEE01"
RUNS_CODE, CODE = "0x00000000000000000000000000000000C0ffee02", "0xef0100" + "5a" * 20
COIN = 10_000 * 10**18

FIXTURES = [
    {"match": {"userMessage": "two and two"}, "response": {"content": "Four."}},
    {
        "match": {"userMessage": "A cat", "endpoint": "image"},
        "response": {"image": {"b64Json": base64.b64encode(PICTURE).decode()}},
    },
]


@dataclass(frozen=True)
class Devnet:
    """A running devnet, and a shell as in another terminal."""

    running: Running
    shown: dict[str, Any]
    shell: InProcess
    chain: Chain

    @property
    def port(self) -> int:
        return int(self.shown["rpc"].rpartition(":")[2])


@contextmanager
def devnet(shell: InProcess, *options: str) -> Iterator[Devnet]:
    command = ("ape", "dtn", "devnet", "--json", "--port", str(free_port()), *options)
    with shell.running(*command) as running:
        shown = running.until(lambda: parsed(running.out))
        running.until(lambda: "started node=" in running.err)
        elsewhere = shell.having(**shown["environment"])
        yield Devnet(running, shown, elsewhere, Chain(shown["rpc"]))


def processes_of(port: int) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"--port {port} " in f"{line} "]


def check_nothing_is_left(port: int) -> None:
    deadline = time.monotonic() + POLICY.anvil_stop
    # An exiting process loses its arguments in the list before it releases its port.
    while (found := processes_of(port)) or not is_free(port):
        assert time.monotonic() < deadline, found or "something listens on the port"
        time.sleep(0.05)


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_it_goes_on_where_it_was_left_also_when_killed(shell: InProcess, tmp_path: Path) -> None:
    """The backend is OpenAI-compatible. The first run ends by Ctrl-C, the second by a kill."""
    state, picture = tmp_path / "chain.json", tmp_path / "cat.png"
    here = shell.having(KEY_OF_THE_DEVNET=KEY)
    with aimock(tmp_path, FIXTURES) as url:
        backend = f"openai:{url}?model=any&key_from=KEY_OF_THE_DEVNET"
        with devnet(here, "--backend", backend, "--state", str(state)) as up:
            assert processes_of(up.port)
            asked = up.shell.dtn(
                "ask", "What is two and two?", "--account", CUSTOMER, "-y", "--json"
            )
            image = up.shell.dtn(
                *("ask", "A cat", "--model", "model.system.openai-gpt-image-1", "--ipfs"),
                *("--input", "width=64", "--input", "height=32", "--output", str(picture)),
                *("--account", CUSTOMER, "-y"),
            )
            first, nonce_before = up.shown, up.chain.nonce(OWNER_ADDRESS)
            done = up.running.interrupt()
            check_nothing_is_left(up.port)

    assert (first["chain_id"], first["fee_token"]["symbol"], len(first["accounts"])) == (
        31337,
        "USDT",
        10,
    )
    assert {text_of(account["funds"]) for account in first["accounts"]} == {"1000.00 USDT"}
    assert "model.system.openai-gpt-image-1" in first["models"]
    assert first["environment"] == {"APE_DTN_NETWORK": FOUNDRY, "APE_FOUNDRY_HOST": first["rpc"]}
    assert asked.json["answer"] == "Four."
    assert image.code == 0, image.err
    assert picture.read_bytes() == PICTURE
    assert (done.code, done.json) == (0, first)
    assert f"answered request={asked.json['request']}" in done.err
    assert "The devnet is stopped." in done.err
    assert KEY not in done.out + done.err

    funded = ("--fund", CUSTOMER_ADDRESS, "--fund", NEWCOMER, "--fund", NEWCOMER.lower())
    with devnet(shell, "--state", str(state), "--block-time", "1", *funded) as up:
        answer = up.shell.dtn("answer", asked.json["request"], "--json")
        nonce = up.chain.nonce(OWNER_ADDRESS)
        coin = int(up.chain.rpc("eth_getBalance", NEWCOMER, "latest"), 16)
        before = int(up.chain.rpc("eth_blockNumber"), 16)
        up.running.until(lambda: int(up.chain.rpc("eth_blockNumber"), 16) > before + 1)
        up.running.process.kill()
        check_nothing_is_left(up.port)

    assert up.shown["router"] == first["router"]
    # The echo serves other models, and the newcomer gets tokens; nothing is deployed anew.
    assert nonce == nonce_before + 2
    assert int(up.shown["accounts"][2]["funds"]["units"]) < 10**9  # what is spent stays spent
    assert [account["address"] for account in up.shown["accounts"][10:]] == [NEWCOMER]
    assert text_of(up.shown["accounts"][10]["funds"]) == "1000.00 USDT"
    assert coin == COIN
    assert answer.json["answer"] == "Four."
    # Where its parent is killed, Anvil writes its chain all the same.
    assert json.loads(state.read_text())["best_block_number"] > before

    port = str(free_port())
    other = ("--variant", "live", "--state", str(state), "--port", port, "--json")
    refused = shell.dtn("devnet", *other)

    assert refused.code == 2
    assert "the network on this chain already uses reference" in refused.error["message"]
    check_nothing_is_left(int(port))


def test_a_fork_of_a_live_chain(tmp_path: Path) -> None:
    home = InProcess(tmp_path)
    deployer = home.having(APE_DATA_FOLDER=str(tmp_path / "deployer"))
    alice = Account.create()
    home.keep_key(ALIAS, alice.key.hex().removeprefix("0x"), PASSPHRASE)
    with anvil(home, "--chain-id", "8453") as base:
        deployed = deployer.having(APE_FOUNDRY_HOST=base.url).dtn(
            "deploy", "--variant", "live", "--token", "usdc", "--network", FOUNDRY, "--json"
        )
        # On public chains, accounts with publicly known keys are delegated to code that takes what
        # they receive.
        base.rpc("anvil_setCode", CUSTOMER_ADDRESS, "0xef0100" + "5e" * 20)
        base.rpc("anvil_setCode", RUNS_CODE, CODE)
        # Alice has some funds, but less than the devnet gives each account.
        base.rpc("anvil_setBalance", alice.address, "0x1")
        token = deployed.json["fee_token"]["address"]
        base.send(OWNER_ADDRESS, token, f"0x40c10f19{alice.address[2:]:0>64}{1:064x}")
        height = base.rpc("eth_blockNumber")
        (home.here / "ape-config.yaml").write_text(
            f"node: {{base: {{mainnet: {{uri: 'http://somebody:secret@{base.url[7:]}'}}}}}}\n"
            f"dtn: {{routers: {{8453: '{deployed.json['router']}'}}}}\n"
        )
        with devnet(home, "--fork", "base", "--fund", ALIAS, "--fund", RUNS_CODE) as up:
            asked = up.shell.dtn("ask", "On Base?", "--account", CUSTOMER, "-y", "--json")
            coins = [
                int(up.chain.rpc("eth_getBalance", account["address"], "latest"), 16)
                for account in up.shown["accounts"][10:]
            ]
            code = up.chain.rpc("eth_getCode", RUNS_CODE, "latest")
            unlocking = up.shell.having(**{f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": PASSPHRASE})
            by_alice = unlocking.dtn("ask", "Is it mine?", "--account", ALIAS, "-y", "--json")
            up.running.process.send_signal(signal.SIGTERM)
            ended = up.running.process.wait(30)
            check_nothing_is_left(up.port)
        assert base.rpc("eth_blockNumber") == height

    assert (ended, up.shown["chain_id"], up.shown["fee_token"]["symbol"]) == (0, 8453, "USDC")
    assert up.shown["router"] == deployed.json["router"]
    assert up.shown["node"] == "node.devnet.local"
    assert {text_of(account["funds"]) for account in up.shown["accounts"]} == {"1000.00 USDC"}
    assert asked.json["answer"] == "You asked: On Base?"
    own = [(account["alias"], account["address"]) for account in up.shown["accounts"][10:]]
    assert own == [(ALIAS, alice.address), (RUNS_CODE, RUNS_CODE)]
    assert coins == [COIN, COIN]
    assert code == CODE  # it is the user's, and nobody else's key
    assert by_alice.json["answer"] == "You asked: Is it mine?"
    assert "secret" not in up.running.out + up.running.err


def test_its_summary_shows_whose_account_got_funds_too_and_it_ends_with_its_anvil(
    shell: InProcess,
) -> None:
    shell.keep_key("bob", Account.create().key.hex().removeprefix("0x"), PASSPHRASE)
    port = free_port()
    command = ("ape", "dtn", "devnet", "--port", str(port), "--fund", "bob")
    with shell.running(*command) as running:
        running.until(lambda: "Press Ctrl-C" in running.out)
        running.until(lambda: "started node=" in running.err)
        (line,) = (line for line in running.out.splitlines() if "bob" in line)
        listed = subprocess.run(
            ["ps", "-A", "-o", "ppid=,pid="], capture_output=True, text=True, check=True
        )
        pairs = (line.split() for line in listed.stdout.splitlines())
        (anvil_of_it,) = (pid for parent, pid in pairs if int(parent) == running.process.pid)
        os.kill(int(anvil_of_it), signal.SIGKILL)
        code = running.process.wait(30)
        check_nothing_is_left(port)

    assert "1000.00 USDT" in line
    assert code == AnvilFailed.exit_code
    assert "Anvil has failed: exit status -9" in running.err
    assert "Traceback" not in running.err


def test_a_port_that_is_taken(shell: InProcess) -> None:
    with anvil(shell) as chain:
        port = chain.url.rpartition(":")[2]
        done = shell.dtn("devnet", "--port", port, "--json")

    assert (done.code, done.error["code"]) == (2, "port_taken")
    assert done.error["message"].startswith(f"Port {port} cannot be used: anvil/v")
    assert "--port" in done.error["hint"]


@pytest.mark.parametrize("fork", [(), ("--fork", "base")])
def test_an_account_that_is_not_there(shell: InProcess, fork: tuple[str, ...]) -> None:
    port = str(free_port())
    done = shell.dtn("devnet", *fork, "--fund", "nobody", "--port", port, "--json")

    assert (done.code, done.error["code"]) == (2, "invalid_address")
    assert done.error["message"] == "'nobody' is not an address."
    assert "ape accounts list" in done.error["hint"]
    assert "Starting" not in done.err
    check_nothing_is_left(int(port))


def test_a_fork_is_of_what_is_there(shell: InProcess, tmp_path: Path) -> None:
    done = shell.dtn("devnet", "--fork", "base", "--state", str(tmp_path / "chain.json"), "--json")

    assert done.code == 2
    assert "leave out --state" in done.error["message"]


# Reasons why Anvil cannot start.


def test_a_port_of_a_program_that_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(PortTaken, match="another program"), child.running(port):
            pass


def test_no_anvil(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AnvilMissing) as missing, child.running(free_port()):
        pass
    assert "npm install" in str(missing.value.hint)


def test_an_anvil_that_cannot_fork() -> None:
    nowhere = f"http://somebody:secret@127.0.0.1:{free_port()}/secret"
    with pytest.raises(AnvilFailed) as failed, child.running(free_port(), "--fork-url", nowhere):
        pass
    assert "failed to get fork block number" in failed.value.message
    assert "secret" not in failed.value.message


def test_half_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLICY, "anvil_state", 1)
    state = tmp_path / "chain.json"
    with child.running(free_port(), state=state) as up:
        while not state.exists():  # a process that is still starting exits silently
            up.check()
            time.sleep(0.05)
    whole = state.read_bytes()
    with child.running(free_port(), state=state):
        pass
    state.write_bytes(whole[:1000])

    with pytest.raises(StateUnusable) as broken, child.running(free_port(), state=state):
        pass

    assert f"cp {child.backup_of(state)} {state}" in str(broken.value.hint)
    assert child.backup_of(state).read_bytes() == whole


def test_a_chain_keeps_its_first_block_however_often_it_is_started(tmp_path: Path) -> None:
    firsts = set()
    for _ in range(6):
        with child.running(free_port(), state=tmp_path / "chain.json") as up:
            chain = Chain(up.url)
            firsts.add(chain.rpc("eth_getBlockByNumber", "0x0", False)["hash"])
            chain.rpc("evm_mine")
            assert int(chain.rpc("eth_blockNumber"), 16) > 0
        time.sleep(0.5)  # another second, for another block

    assert len(firsts) == 1


def test_of_a_long_chain_no_old_states_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with child.running(free_port()) as up:
        Chain(up.url).rpc("anvil_mine", hex(600))  # it keeps 500 states in memory
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert len(kept) >= 100
    assert list(tmp_path.iterdir()) == []


def test_a_chain_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    state = tmp_path / "none" / "chain.json"
    with (
        pytest.raises(StateUnusable, match="does not exist"),
        child.running(free_port(), state=state),
    ):
        pass


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("nowhere", "Ape does not know the network 'nowhere'"),
        ("base:nowhere", "Ape does not know the network 'base:nowhere'"),
        ("ethereum:local", "it is a local network"),
    ],
)
def test_what_cannot_be_forked(choice: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        endpoint(choice)


def test_an_endpoint_by_its_url() -> None:
    assert endpoint("https://base.example/key") == "https://base.example/key"
