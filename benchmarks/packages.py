"""Count the packages that ape-dtn adds to a bare Ape.

``python benchmarks/packages.py`` prints, as JSON, the packages that ape-dtn without extras installs
and eth-ape alone does not. They come from the metadata of the installed packages, for this Python
and platform.
"""

from __future__ import annotations

import json
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(requirement: str) -> set[str]:
    """The names of a package and all its dependencies, direct and indirect."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()  # pairs of a package and an extra
    queue = [Requirement(requirement)]
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        found.add(name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needs = [Requirement(line) for line in requires(name) or []]
            queue += [
                need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})
            ]
    return found


def added() -> list[str]:
    """The packages that ape-dtn adds to a bare Ape, in alphabetical order."""
    return sorted(closure("ape-dtn") - closure("eth-ape") - {"ape-dtn"})


def main() -> None:
    """Print the count and the names."""
    names = added()
    print(json.dumps({"count": len(names), "packages": names}, indent=2))


if __name__ == "__main__":
    main()
