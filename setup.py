"""Packaging of ape-dtn."""

from pathlib import Path

from setuptools import find_packages, setup

solidity = ["ape-solidity>=0.8.6"]
safe = ["ape-safe>=0.8.23"]
node = [
    "prometheus-client",
    "python-multipart>=0.0.13",  # the first that does not call its module `multipart`
]
test = [
    *solidity,
    *safe,
    *node,
    "hypothesis",
    "pytest",
    "pytest-randomly",
    "pytest-timeout",
    "pytest-xdist",
]
dev = [
    *test,
    "build",
    "mypy",
    "pre-commit",
    "ruff",
    "types-requests",
    "types-setuptools",
    "virtualenv",
    "xllamacpp==2026.10.11549",  # llama.cpp's server, an OpenAI-compatible one
]

setup(
    name="ape-dtn",  # Ape takes for its plugins the distributions called ape-*
    version="0.1.0",
    description="Buy AI answers on chain: sessions of the Deep Trust Network, for Ape",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="ape-dtn contributors",
    license="MIT",
    python_requires=">=3.10,<4",
    # Tried with 0.8.51; Ape's minor releases may break plugins. It brings click, eth-abi,
    # eth-utils, pydantic, rich and web3, with limits of its own that ours could only contradict.
    # Without a bound on ape-foundry, pip prefers a newer Ape with a much older ape-foundry.
    install_requires=[
        "eth-ape>=0.8.51,<0.9",
        "ape-foundry>=0.8.12",
        # eth-keys signs with it in place of pure Python. 21 is the first that needs no other
        # package; it has wheels for Python 3.10 to 3.13.
        "coincurve>=21; python_version < '3.14'",
        "filelock",
        "httpx",
        "multiformats",
    ],
    extras_require={"solidity": solidity, "safe": safe, "node": node, "test": test, "dev": dev},
    entry_points={
        "ape_cli_subcommands": ["ape_dtn=ape_dtn._cli:cli"],
        "pytest11": ["ape_dtn=ape_dtn.testing.plugin"],
    },
    # Ape wants one top-level package. The Solidity library lives in contracts/, where Solidity
    # tools look for it, and travels inside that package, where users' compilers find it.
    packages=[*find_packages(include=["ape_dtn", "ape_dtn.*"]), "ape_dtn.contracts"],
    package_dir={"ape_dtn.contracts": "contracts"},
    package_data={
        "ape_dtn": [
            "py.typed",
            "artifacts/*.json",
            "billing/page.css",
            "billing/page.html.template",
            "deployment/*.json",
            "scaffold/templates/*.template",
        ],
        "ape_dtn.contracts": ["*.sol"],
    },
    include_package_data=False,
    zip_safe=False,
    keywords=["ape", "ethereum", "solidity", "dtn", "ai"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Software Development :: Libraries",
        "Typing :: Typed",
    ],
)
