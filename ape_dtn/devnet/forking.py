"""The chain that a devnet is forked from: where Ape, or whoever names it, has an endpoint of it."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput, NoNetwork


def endpoint(choice: str) -> str:
    """The URL of an endpoint. It may carry a key: it is never to be shown.

    Args:
        choice: A network as Ape names it, as in ``base`` or ``base:sepolia:alchemy``, or a URL.

    Raises:
        BadInput: Ape knows no such network, or it is a local one.
        NoNetwork: Ape has no endpoint of it that answers.
    """
    from ape.exceptions import ApeException, NetworkError
    from ape.logging import LogLevel, logger
    from ape.utils.basemodel import ManagerAccessMixin as access

    if choice.startswith(("http://", "https://", "ws://", "wss://")):
        return choice
    network = choice if ":" in choice else f"{choice}:mainnet"
    try:
        # Where none is configured, Ape tries public ones, and tells each that is not available.
        with logger.at_level(LogLevel.ERROR):
            provider = access.network_manager.get_provider_from_choice(network)
            local, url = provider.network.is_dev, getattr(provider, "http_uri", None)
    except NetworkError as err:
        reason = str(err).partition("\n")[0].removesuffix(" Options:")
        raise BadInput(f"Ape knows no network '{choice}': {reason}") from err
    except ApeException as err:
        raise _without_endpoint(network) from err
    if local:
        raise BadInput(f"{choice} is a local network: there is nothing to fork.")
    if not url:
        raise _without_endpoint(network)
    return str(url)


def _without_endpoint(network: str) -> NoNetwork:
    error = NoNetwork(f"Ape has no endpoint of {network} that answers.")
    error.hint = "Name one: --fork URL, or in ape-config.yaml as for every network of Ape."
    return error
