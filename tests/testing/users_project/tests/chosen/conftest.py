import pytest


@pytest.fixture(scope="session")
def dtn_variant():
    return "live"
