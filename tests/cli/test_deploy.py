"""`ape dtn deploy` on local chains."""

from __future__ import annotations

from ape_dtn.devnet.anvil import free_port

from .in_process import InProcess
from .shell import FOUNDRY, Chain, anvil, is_there


def test_ctrl_c_ends_the_node_and_leaves_nothing_behind(shell: InProcess) -> None:
    # Nothing listens there: Ape starts an Anvil, which has to end with the command.
    chain = Chain(f"http://127.0.0.1:{free_port()}")
    deploy = ("ape", "dtn", "deploy", "--serve", "--network", FOUNDRY)

    with shell.having(APE_FOUNDRY_HOST=chain.url).running(*deploy) as node:
        node.until(lambda: "Press Ctrl-C to stop it." in node.out)
        assert is_there(chain)
        done = node.interrupt()

    assert done.code == 0
    assert "node.local.echo is stopped." in done.err
    assert "Traceback" not in done.err
    assert not is_there(chain)


def test_it_prints_the_router_the_account_and_the_node(shell: InProcess) -> None:
    with anvil(shell) as chain:
        here = shell.having(APE_FOUNDRY_HOST=chain.url)
        done = here.dtn("deploy", "--token", "usdc", "--network", FOUNDRY)

    assert (done.code, done.err) == (0, "")
    assert "The router is 0x" in done.out
    assert "TEST::2 (0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC) has 1000.00 USDC." in done.out
    assert "node.local.echo is registered. With --serve, it answers." in done.out


def test_nothing_is_deployed_to_an_anvil_that_ends_with_it(shell: InProcess) -> None:
    unused = f"http://127.0.0.1:{free_port()}"
    here = shell.having(APE_FOUNDRY_HOST=unused)

    done = here.run("ape", "dtn", "deploy", "--network", FOUNDRY, "--json")

    assert done.code == 2
    assert "Start `anvil` yourself first, or add --serve." in done.error["message"]


def test_public_networks_are_refused(shell: InProcess) -> None:
    with anvil(shell, "--chain-id", "8453") as base:
        done = shell.dtn("deploy", "--network", f"base:mainnet:{base.url}", "--json")
        height = base.rpc("eth_blockNumber")

    assert (done.code, height) == (2, "0x0")
    assert "is a public network" in done.error["message"]
