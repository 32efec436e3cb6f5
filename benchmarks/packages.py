"""Counts the packages that ape-dtn adds to a bare Ape.

``python benchmarks/packages.py`` prints, as JSON, the packages that an installation of ape-dtn
without extras brings beside itself, and that an installation of eth-ape does not. They are read
from the metadata of what is installed here, for this Python and platform.
"""

from __future__ import annotations

import json
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(requirement: str) -> set[str]:
    """The names of all packages that an installation of a requirement brings, with its own."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()  # a package, and one of its extras
    waiting = [Requirement(requirement)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        found.add(name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needs = [Requirement(line) for line in requires(name) or []]
            waiting += [
                each for each in needs if not each.marker or each.marker.evaluate({"extra": extra})
            ]
    return found


def added() -> list[str]:
    """The packages that ape-dtn adds to a bare Ape, in alphabetical order."""
    return sorted(closure("ape-dtn") - closure("eth-ape") - {"ape-dtn"})


def main() -> None:
    """Prints them."""
    names = added()
    print(json.dumps({"count": len(names), "packages": names}, indent=2))


if __name__ == "__main__":
    main()
