"""The network survives Ape's revert at the end of a module."""

import os

import pytest


@pytest.fixture(scope="module")
def balance_after_transfer(accounts):
    accounts[1].transfer(accounts[2], 1)
    return accounts[1].balance


def test_without_the_network(balance_after_transfer, accounts):
    assert accounts[1].balance == balance_after_transfer
    assert "APE_DTN_LOCAL_FOLDER" not in os.environ


def test_with_the_network(balance_after_transfer, accounts, dtn_node, oracle, ask):
    assert accounts[1].balance == balance_after_transfer
    ask("Hello?")
    dtn_node.answer()
    assert oracle.answer() == "You asked: Hello?"
