"""The README's code runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from ape_dtn.devnet.anvil import free_port

ROOT = Path(__file__).resolve().parent.parent

# The README runs the network in another terminal. Here, deploy it and start its node first.
SETUP = """
import threading
from ape import accounts, networks
from ape_dtn.deployment.assemble import deploy, fund

connection = networks.parse_network_choice("ethereum:local:foundry")
connection.__enter__()
owner, worker, customer = accounts.test_accounts[:3]
network = deploy(owner, worker)
fund(network.ai.provider, owner, network.token, customer.address, 100_000_000)
threading.Thread(target=network.node.serve, daemon=True).start()
"""


def block(heading: str, language: str) -> str:
    """The first code block under a heading."""
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def run(*command: str, cwd: Path) -> str:
    # Not the Anvil of this test run.
    env = {**os.environ, "APE_FOUNDRY_HOST": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_session_prints_what_the_readme_says(tmp_path: Path) -> None:
    script = tmp_path / "session.py"
    script.write_text(SETUP + block("A session from Python", "python"))

    lines = run(sys.executable, str(script), cwd=tmp_path).splitlines()
    logged = ("INFO", "ERROR")  # Anvil starting and stopping, and the node losing its chain
    answer, cost = (line for line in lines if not line.startswith(logged))

    assert answer == "You asked: What is two and two?"
    assert f"# {cost}" in block("A session from Python", "python")


def test_the_example_test_passes(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_session.py").write_text(block("Test code that uses AI", "python"))

    assert "1 passed" in run("ape", "test", cwd=tmp_path)
