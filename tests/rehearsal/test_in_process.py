"""Rehearsals on Ape's in-process chain, which is reverted afterwards; in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
import ape
from ape_dtn import DtnRehearsal, DtnSession
from ape_dtn.chain import rpc, transactions
from ape_dtn.deployment.assemble import Variant, deploy, fund
from ape_dtn._cli.json_fields import rehearsal_fields
from ape_dtn.types.serialization import to_json

fields = json.loads(sys.argv[1])
found = {}
with ape.networks.ethereum.local.use_provider("test") as provider:
    owner, worker, customer = ape.accounts.test_accounts[:3]
    network = deploy(owner, worker, Variant.LIVE)
    code = bytes.fromhex(fields["code"])
    from eth_abi import encode
    kinds = ["address", "string", "string", "uint256", "uint256"]
    arguments = encode(kinds, [network.ai.router, *fields["arguments"]])
    address = transactions.create(provider, customer, code + arguments)
    from ethpm_types import ContractType
    contract_type = ContractType(abi=fields["abi"], contractName="ReuseSession")
    contract = ape.Contract(address, contract_type=contract_type)
    fund(provider, owner, network.token, address, 50_000)
    contract.start(sender=customer)

    def state():
        head = rpc.result(provider, "eth_getBlockByNumber", ["latest", False])
        return [str(head["hash"]), customer.nonce, worker.nonce, str(contract.requestId())]

    before = state()
    rehearsal = DtnRehearsal(customer, network.ai, answers=["four"])
    for name, gas in (("good", 200_000), ("starved", 25_000)):
        rehearsed = rehearsal.run(contract.ask, "Two and two?", value=gas)
        found[name] = to_json(rehearsal_fields(rehearsed))
    stranger = DtnRehearsal("0x" + "5e" * 20, network.ai)
    found["stranger"] = to_json(rehearsal_fields(stranger.run(contract.ask, "Hello?")))
    refused = DtnRehearsal(worker, network.ai).run(contract.ask, "Hello?")
    found["refused"] = to_json(rehearsal_fields(refused))
    assert state() == before

print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from ape_dtn.deployment.assemble import NODE

    from .conftest import FEE, MODEL, MOST

    contract_type = project.ReuseSession.contract_type
    fields = {
        "code": bytes(contract_type.get_deployment_bytecode()).hex(),
        "abi": [entry.model_dump(mode="json") for entry in contract_type.abi],
        "arguments": [MODEL, NODE, FEE, MOST],
    }
    folder: Path = tmp_path_factory.mktemp("in_process")
    command = [sys.executable, "-c", SCRIPT, json.dumps(fields)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_a_request_with_its_answer_and_callback(found: Any) -> None:
    result = found["good"]
    assert result["failures"] == []
    (request,) = result["requests"]
    assert request["answer"] == "four"
    assert request["charged"]["units"] != "0"
    assert result["transaction"]["gas_used"] > 100_000
    changes = request["response"]["changes"]
    views = [(change["what"], change["after"]) for change in changes if change["kind"] == "view"]
    assert views == [("answer", "four")]


def test_a_callback_out_of_gas_is_reported_with_the_gas_it_needs(found: Any) -> None:
    (failure,) = found["starved"]["failures"]
    assert failure["code"] == "callback_out_of_gas"
    assert failure["needed"] > failure["gas"] == 25_000


def test_a_sender_without_key_is_rejected_and_reverts_are_decoded(found: Any) -> None:
    (failure,) = found["stranger"]["failures"]
    assert failure["code"] == "cannot_fork"
    assert "ethereum:local:foundry" in failure["hint"]
    (refused,) = found["refused"]["failures"]
    assert refused["revert"]["name"] == "OwnableUnauthorizedAccount"
