"""The packages that the installation adds to Ape."""

from __future__ import annotations

from eth_keys.backends import get_backend

from benchmarks import packages


def test_the_added_packages_are_pinned() -> None:
    assert packages.added() == [
        "anyio",  # httpx's
        "ape-foundry",
        "bases",  # multiformats'
        "coincurve",
        "filelock",
        "h11",  # httpx's
        "httpcore",  # httpx's
        "httpx",
        "multiformats",
        "multiformats-config",  # multiformats'
        "typing-validation",  # multiformats'
    ]


def test_dependencies_of_extras_are_included() -> None:
    brought = packages.closure("ape-dtn[node]") - packages.closure("ape-dtn")

    assert brought == {"prometheus-client", "python-multipart"}


def test_signing_is_not_in_pure_python() -> None:
    assert type(get_backend()).__name__ == "CoinCurveECCBackend"
