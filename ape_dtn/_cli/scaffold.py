"""``ape dtn init`` and ``generate``: files for users to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import DtnCommand, dtn_command, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape_dtn.types.model import Api


force_option = click.option("--force", is_flag=True, help="Replace files that are there.")


@dtn_command("init", network=None, deploys=True)
@click.argument("name")
@force_option
def init(name: str, force: bool) -> dict[str, Any]:
    """Write a small project that works at once.

    It goes to the new folder NAME, and has a contract that asks and keeps the answers, its tests, a
    script, and what CI needs to run them. No network is needed.

    \b
      ape dtn init oracle
      cd oracle
      pip install -r requirements.txt
      ape test
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.scaffold.errors import FilesExist
    from ape_dtn.scaffold.files import write
    from ape_dtn.scaffold.project import project

    folder, files = Path(name), project(name)
    if folder.exists() and not force:
        raise FilesExist([str(folder)])
    written = write(folder, files, force)
    _tell(written)
    say(f"\nNext: `cd {name}`, `pip install -r requirements.txt`, which brings the compiler, and")
    say("`ape test`; its README.md tells the rest.")
    return {"folder": str(folder), "files": [str(path) for path in written]}


class GenerateCommand(DtnCommand):
    """A command that needs no network where it is told the model's API."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["specs"] is not None:
            del ctx.params["network"]
        return super().invoke(ctx)


@click.command("generate", cls=GenerateCommand)
@click.argument("name")
@click.option("--model", help="Full name of the model; by default the configured one.")
@click.option(
    "--prompt",
    "lines",
    multiple=True,
    metavar="TEXT",
    help="The prompt, with placeholders; several times for several lines. Without it, the prompt "
    "is given each time.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A value's name, in the order of {0}, {1} and so on, then of the model's other inputs.",
)
@click.option(
    "--api",
    "specs",
    metavar="SPECS",
    help='What the model takes and gives, as in "string[] -> string"; by default read from the '
    "chain.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The project that it is written to; by default the current folder.",
)
@force_option
@click.option(
    "--router", "router", metavar="ADDRESS", help="The router, where it is not the known one."
)
def generate(
    name: str,
    model: str | None,
    lines: Sequence[str],
    names: Sequence[str],
    specs: str | None,
    folder: Path,
    force: bool,
    router: str | None,
) -> dict[str, Any]:
    """Write a contract and a client for a prompt.

    NAME becomes the name of both, as in AgeCheck: contracts/AgeCheck.sol and age_check.py. In the
    prompt, {0} stands for text and {1:uint8} for a value of any other type; they become typed
    parameters.

    \b
      ape dtn generate AgeCheck --prompt "Is {0:address} older than {1:uint8}?" \\
          --name owner --name age --api "string[] -> string"
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.network.config import configured
    from ape_dtn.scaffold.consumer import consumer, snake
    from ape_dtn.scaffold.files import write
    from ape_dtn.scaffold.python import client
    from ape_dtn.scaffold.solidity import contract, needs_ir

    model = model or configured().model
    found = consumer(name, model, _api(model, specs, router), lines, names)
    files = {
        f"contracts/{name}.sol": contract(found),
        f"{snake(name)}.py": client(found),
    }
    written = write(folder, files, force)
    _tell(written)
    if needs_ir(found):
        say(
            "With so many values it compiles with `solidity: via_ir: true` in ape-config.yaml only."
        )
    return {
        "model": model,
        "inputs": list(found.inputs),
        "output": found.output,
        "parameters": [{"name": each.name, "type": each.kind} for each in found.parameters],
        "needs_ir": needs_ir(found),
        "files": [str(path) for path in written],
    }


def _api(model: str, specs: str | None, router: str | None) -> Api:
    """How the model is called, as it is told, or as the chain has it."""
    from ape_dtn.types.model import Api

    if specs is not None:
        return Api("", specs, "")
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.errors import NoNetwork

    try:
        return DtnAi(router).model(model).api
    except NoNetwork as err:
        err.hint = (
            f'{err.hint or ""} Or tell what the model takes: --api "string[] -> string".'.strip()
        )
        raise


def _tell(written: Sequence[Path]) -> None:
    say("Written:")
    for path in written:
        say(f"   {path}")
