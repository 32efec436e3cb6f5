"""Errors of networks on this machine."""

from __future__ import annotations

from ape_dtn.types.errors import BAD_INPUT, NO_NETWORK, DtnError, NoNetwork


class CannotFork(NoNetwork):
    """The connected chain cannot be copied, to try something out on the copy."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The chain cannot be copied: {reason}.", reason=reason)
        self.hint = "Connect over HTTP: --network ethereum:local:foundry, or a node's http URL."


class DevnetFailed(DtnError):
    """A network of one's own cannot be started, or has ended by itself."""

    exit_code = NO_NETWORK


class AnvilMissing(DevnetFailed):
    """There is no Anvil on this machine."""

    def __init__(self) -> None:
        super().__init__("There is no `anvil` on the path, and the chain is run by it.")
        self.hint = (
            "It comes with Foundry (https://getfoundry.sh), or alone: "
            "`npm install --global @foundry-rs/anvil`."
        )


class AnvilFailed(DevnetFailed):
    """Anvil has ended by itself, or never listened."""

    exit_status: int | None
    said: str

    def __init__(self, exit_status: int | None, said: str) -> None:
        from ape_dtn.types.redact import hide_secrets

        said = " ".join(hide_secrets(said).split())
        reason = said or f"its exit status is {exit_status}"
        super().__init__(f"Anvil has ended: {reason}", exit_status=exit_status, said=said)


class PortTaken(DevnetFailed):
    """Something else listens where the chain was to."""

    exit_code = BAD_INPUT
    port: int
    listener: str | None

    def __init__(self, port: int, listener: str | None, reason: str | None = None) -> None:
        by = f"{listener} listens there" if listener else "another program listens there"
        super().__init__(
            f"Port {port} cannot be used: {reason or by}.", port=port, listener=listener
        )
        self.hint = f"Choose another with --port, or stop what `lsof -i :{port}` shows."
        if listener and "anvil" in listener.lower():
            self.hint += " `ape dtn deploy --serve` puts a network on an Anvil that is running."


class StateUnusable(DevnetFailed):
    """The file that is to keep the chain cannot be used."""

    exit_code = BAD_INPUT
    path: str
    reason: str

    def __init__(self, path: str, reason: str, copy: str | None = None) -> None:
        super().__init__(f"{path} cannot keep the chain: {reason}.", path=path, reason=reason)
        self.hint = (
            f"As it was when it was last started from: `cp {copy} {path}`."
            if copy
            else "Name another file with --state."
        )
