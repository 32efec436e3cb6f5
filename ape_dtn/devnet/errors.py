"""Errors of local networks."""

from __future__ import annotations

from ape_dtn.types.errors import BAD_INPUT, NO_NETWORK, DtnError, NoNetwork


class CannotFork(NoNetwork):
    """The connected chain cannot be forked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The chain cannot be forked: {reason}.", reason=reason)
        self.hint = "Connect over HTTP, to ethereum:local:foundry or to the http URL of a node."


class DevnetFailed(DtnError):
    """A local network cannot be started, or has stopped by itself."""

    exit_code = NO_NETWORK


class AnvilMissing(DevnetFailed):
    """Anvil is not installed."""

    def __init__(self) -> None:
        super().__init__("`anvil` was not found on the PATH; it runs the local chain.")
        self.hint = (
            "Install Foundry (https://getfoundry.sh), or Anvil alone: "
            "`npm install --global @foundry-rs/anvil`."
        )


class AnvilFailed(DevnetFailed):
    """Anvil exited by itself, or did not start to listen in time."""

    exit_status: int | None
    said: str

    def __init__(self, exit_status: int | None, said: str) -> None:
        from ape_dtn.types.redact import hide_secrets

        said = " ".join(hide_secrets(said).split())
        reason = said or f"exit status {exit_status}"
        super().__init__(f"Anvil has failed: {reason}", exit_status=exit_status, said=said)


class PortTaken(DevnetFailed):
    """The port for Anvil is in use."""

    exit_code = BAD_INPUT
    port: int
    listener: str | None

    def __init__(self, port: int, listener: str | None, reason: str | None = None) -> None:
        by = f"{listener or 'another program'} listens there"
        super().__init__(
            f"Port {port} cannot be used: {reason or by}.", port=port, listener=listener
        )
        self.hint = f"Choose another port, or stop what `lsof -i :{port}` shows."


class StateUnusable(DevnetFailed):
    """The file for the chain state cannot be used."""

    exit_code = BAD_INPUT
    path: str
    reason: str

    def __init__(self, path: str, reason: str, copy: str | None = None) -> None:
        reason_text = f"The chain state file {path} cannot be used: {reason}."
        super().__init__(reason_text, path=path, reason=reason)
        self.hint = (
            f"To restore the last state that was loaded: `cp {copy} {path}`."
            if copy
            else "Use another file."
        )
