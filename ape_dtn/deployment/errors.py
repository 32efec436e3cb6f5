"""Errors of putting a network together."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class DeploymentUnusable(BadInput):
    """The file of a deployment is not there, cannot be written, or is no such file."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        message = f"{path} is no file of a deployment that can be used: {reason}."
        super().__init__(message, path=str(path), reason=reason)


class DeploymentDiffers(BadInput):
    """The file of a deployment is of another one than is asked for. Nothing was sent."""

    path: str
    differs: list[str]

    def __init__(self, path: object, *differs: str) -> None:
        message = f"{path} is of another deployment, which differs in: {', '.join(differs)}."
        super().__init__(message, path=str(path), differs=list(differs))
        self.hint = (
            "Where it is the contracts, go on with the version of ape-dtn that it was begun with. "
            "For another deployment, name another file."
        )
