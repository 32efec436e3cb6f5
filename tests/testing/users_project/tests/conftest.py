import pytest


@pytest.fixture(scope="session")
def deployed(project, accounts, dtn):
    return project.Oracle.deploy(dtn.router, dtn.node_id, sender=accounts[0])


@pytest.fixture
def oracle(deployed, dtn, accounts):
    dtn.fund(deployed, "5.00")
    deployed.start(sender=accounts[0])
    return deployed


@pytest.fixture
def ask(oracle, accounts):
    return lambda prompt: oracle.ask(prompt, value=200_000, sender=accounts[0])
