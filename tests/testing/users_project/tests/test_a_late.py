"""What Ape takes back at the end of a module does not take the network along."""

import os

import pytest


@pytest.fixture(scope="module")
def moved(accounts):
    accounts[1].transfer(accounts[2], 1)
    return accounts[1].balance


def test_without_the_network(moved, accounts):
    assert accounts[1].balance == moved
    assert "APE_DTN_LOCAL_FOLDER" not in os.environ


def test_with_the_network(moved, accounts, dtn_node, oracle, ask):
    assert accounts[1].balance == moved
    ask("Hello?")
    dtn_node.answer()
    assert oracle.answer() == "You asked: Hello?"
