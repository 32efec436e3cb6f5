"""What an installation brings beside Ape."""

from __future__ import annotations

from eth_keys.backends import get_backend

from benchmarks import packages


def test_no_package_is_added_unnoticed() -> None:
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


def test_an_extra_is_followed() -> None:
    brought = packages.closure("ape-dtn[node]") - packages.closure("ape-dtn")

    assert brought == {"prometheus-client", "python-multipart"}


def test_signing_is_not_in_pure_python() -> None:
    assert type(get_backend()).__name__ == "CoinCurveECCBackend"
