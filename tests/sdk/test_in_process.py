"""The same errors on Ape's in-process chain, which has no HTTP and words its reverts differently.

It runs in a process of its own: the tests are connected to Anvil.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant

SCRIPT = """
import json
import ape
from ape_dtn import DtnAi, DtnError, DtnSession
from ape_dtn.chain import transactions
from ape_dtn.deployment.assemble import Variant, deploy, fund
from ape_dtn.network import reverts, sessions
from ape_dtn.network.abi import Router
from ape_dtn.types.transactions import contract_call
from ape_dtn.types.serialization import to_json


def try_all(network, customer, stranger):
    found, ai, close = {}, network.ai, Router.close_user_session

    def attempt(name, function):
        try:
            function()
        except DtnError as err:
            found[name] = to_json(err)

    def send(account, *call, session=0, **options):
        transaction = contract_call(ai.router, *call, **options)
        with sessions.explained(ai, session, str(account.address)):
            transactions.send(ai.provider, account, transaction, reverts.NO_CONTEXT)

    closed = DtnSession.start("1.00", customer, ai)
    closed.close()
    session = DtnSession.start("1.00", customer, ai)
    attempt("no answer", session.request("Hello?").answer)
    attempt("nothing deposited", lambda: DtnSession.claim(customer, ai))
    attempt("unknown", lambda: send(customer, close, 99, session=99))
    attempt("closed", lambda: send(customer, close, closed.id, session=closed.id))
    attempt("foreign", lambda: send(stranger, close, session.id, session=session.id))
    attempt("mined", lambda: send(customer, Router.start_user_session, gas_limit=400_000))
    attempt("no code", lambda: DtnAi("0x" + "de" * 20).token())
    attempt("a reason", lambda: send(
        stranger, Router.respond_to_request, bytes(32), 1, "", b"", bytes(32), 0, 0
    ))
    network.node.answer_pending()
    found["refund"] = str(session.close())
    return found


def code_of(function):
    try:
        function()
    except DtnError as err:
        return err.code


found = {"not connected": code_of(DtnAi)}
with ape.networks.ethereum.local.use_provider("test"):
    found["not known"] = code_of(DtnAi)
    owner, worker, customer, stranger = ape.accounts.test_accounts[:4]
    for variant in Variant:
        network = deploy(owner, worker, variant)
        fund(network.ai.provider, owner, network.token, str(customer.address), 10_000_000)
        found[variant.name] = try_all(network, customer, stranger)

print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def everything() -> Any:
    command = [sys.executable, "-c", SCRIPT]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture
def found(everything: Any, variant: Variant) -> Any:
    return everything[variant.name]


def test_all_calls_fail_without_a_network(everything: Any) -> None:
    assert everything["not connected"] == "not_connected"
    assert everything["not known"] == "unknown_chain"


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        ("no answer", "request_pending"),
        ("nothing deposited", "nothing_deposited"),
        ("unknown", "session_not_found"),
        ("closed", "session_already_closed"),
        ("foreign", "not_session_owner"),
        ("mined", "nothing_deposited"),
        ("no code", "no_contract_at_address"),
        ("a reason", "contract_reverted"),
    ],
)
def test_errors_are_the_same_as_over_http(found: Any, attempt: str, code: str) -> None:
    assert found[attempt]["code"] == code


def test_fields_are_the_same_as_over_http(found: Any, variant: Variant) -> None:
    reference = variant is Variant.REFERENCE
    reason = (
        f"RequestNotFound(requestId=0x{bytes(32).hex()})" if reference else "Not the node worker"
    )
    assert found["closed"]["session_id"] == 1
    assert found["foreign"]["session_id"] == 2
    assert found["a reason"]["reason"] == reason


def test_custom_errors_keep_their_names_and_data(found: Any) -> None:
    assert found["nothing deposited"]["revert"]["name"] == "InvalidAmount"
    assert found["nothing deposited"]["revert"]["data"] == "0x2c5211c6"


def test_balances_add_up(found: Any) -> None:
    assert found["refund"].endswith(" USDT")
    assert "0.99" < found["refund"] < "1.00"
