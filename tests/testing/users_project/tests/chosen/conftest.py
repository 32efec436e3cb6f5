import pytest


@pytest.fixture(scope="session")
def dtn_behaviour():
    return "deployed"
