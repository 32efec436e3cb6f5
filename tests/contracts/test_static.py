"""All findings of slither in the contracts are accepted, with a reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

from audit.accepted import ACCEPTED
from audit.sources import ROOT, contracts

PYTHON = ROOT / ".tools" / "analysis" / "bin" / "python"
PLANTED = """
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

contract Planted {
    mapping(address => uint256) public balances;

    function pay(IERC20 token, address from, address to) external {
        token.transferFrom(from, to, 1);
    }

    function withdraw() external {
        (bool ok, ) = msg.sender.call{value: balances[msg.sender]}("");
        require(ok);
        balances[msg.sender] = 0;
    }
}
"""


def slither(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-m", "audit.static", *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_nothing_is_found_that_is_not_accepted() -> None:
    found = slither()

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"checks of {len(contracts())} files" in found.stdout


def test_planted_faults_are_found(tmp_path: Path) -> None:
    planted = tmp_path / "Planted.sol"
    planted.write_text(PLANTED)

    found = slither(planted)
    assert found.returncode == 1, found.stderr
    assert "High: arbitrary-send-erc20 at" in found.stdout
    assert "Planted.sol:Planted.pay\n" in found.stdout
    assert "High: reentrancy-eth at" in found.stdout
    assert "Planted.sol:Planted.withdraw\n" in found.stdout


def test_everything_accepted_has_its_reason() -> None:
    for accepted in ACCEPTED:
        assert len(accepted.why.split()) >= 4
        assert accepted.why.endswith(".")
