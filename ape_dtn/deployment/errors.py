"""Errors of deployments."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class DeploymentUnusable(BadInput):
    """The deployment file is missing, not writable, or malformed."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        message = f"The deployment file {path} cannot be used: {reason}."
        super().__init__(message, path=str(path), reason=reason)


class DeploymentDiffers(BadInput):
    """The deployment file belongs to another deployment. Nothing was sent."""

    path: str
    differs: list[str]

    def __init__(self, path: object, *differs: str) -> None:
        message = f"{path} belongs to another deployment, which differs in: {', '.join(differs)}."
        super().__init__(message, path=str(path), differs=list(differs))
        self.hint = (
            "If the contracts differ, continue with the version of ape-dtn that began the "
            "deployment. For another deployment, name another file."
        )
