"""The endpoint of the chain that a devnet forks."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput, NoNetwork


def endpoint(choice: str) -> str:
    """Return the URL of an endpoint. It may contain a key: do not show it.

    Args:
        choice: A network in Ape's syntax, such as ``base`` or ``base:sepolia:alchemy``, or a URL.

    Raises:
        BadInput: Ape does not know the network, or the network is local.
        NoNetwork: No endpoint that Ape knows for the network answers.
    """
    from ape.exceptions import ApeException, NetworkError
    from ape.logging import LogLevel, logger
    from ape.utils.basemodel import ManagerAccessMixin as access

    if choice.startswith(("http://", "https://", "ws://", "wss://")):
        return choice
    network = choice if ":" in choice else f"{choice}:mainnet"
    try:
        # Without a configured endpoint, Ape tries public ones, and logs each failure.
        with logger.at_level(LogLevel.ERROR):
            provider = access.network_manager.get_provider_from_choice(network)
            local, url = provider.network.is_dev, getattr(provider, "http_uri", None)
    except NetworkError as err:
        reason = str(err).partition("\n")[0].removesuffix(" Options:")
        raise BadInput(f"Ape does not know the network '{choice}': {reason}") from err
    except ApeException as err:
        raise _without_endpoint(network) from err
    if local:
        raise BadInput(f"Cannot fork {choice}: it is a local network.")
    if not url:
        raise _without_endpoint(network)
    return str(url)


def _without_endpoint(network: str) -> NoNetwork:
    error = NoNetwork(f"No endpoint that Ape knows for {network} answers.")
    error.hint = "Pass an endpoint's URL, or configure one for the network in ape-config.yaml."
    return error
