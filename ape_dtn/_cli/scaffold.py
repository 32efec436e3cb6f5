"""``ape dtn init`` and ``generate``: write projects, contracts and clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import DtnCommand, dtn_command
from ape_dtn._cli.hints import CommandHint, hint_for
from ape_dtn._cli.options import MODEL_HELP
from ape_dtn._cli.screen import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape_dtn.types.model import Api


force_option = click.option("--force", is_flag=True, help="Replace existing files.")


@dtn_command("init", network=None, deploys=True)
@click.argument("name")
@force_option
def init(name: str, force: bool) -> dict[str, Any]:
    """Write a project to the new folder NAME.

    It has a contract that sends prompts and stores the answers, tests, a script and a CI workflow.
    No network is required.

    \b
      ape dtn init oracle
      cd oracle
      pip install -r requirements.txt
      ape test
    """  # noqa: D301 (click wants the character)
    from ape_dtn.scaffold.errors import FilesExist
    from ape_dtn.scaffold.files import write
    from ape_dtn.scaffold.project import project

    folder, files = Path(name), project(name)
    if folder.exists() and not force:
        raise FilesExist([str(folder)])
    written = write(folder, files, force)
    _say_written(written)
    say(f"\nNext: `cd {name}`, `pip install -r requirements.txt` (with the compiler), `ape test`.")
    say("Its README.md explains the rest.")
    return {"folder": str(folder), "files": [str(path) for path in written]}


class GenerateCommand(DtnCommand):
    """A command that connects to a network unless ``--api`` is given."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["specs"] is not None:
            del ctx.params["network"]
        return super().invoke(ctx)


@click.command("generate", cls=GenerateCommand)
@click.argument("name")
@click.option("--model", help=MODEL_HELP)
@click.option(
    "--prompt",
    "lines",
    multiple=True,
    metavar="TEXT",
    help="A line of the prompt, with placeholders; repeatable. Without it, the contract takes the "
    "prompt as a parameter.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Name of a parameter, in the order {0}, {1}, …, then of the model's other inputs; "
    "repeatable.",
)
@click.option(
    "--api",
    "specs",
    metavar="SPECS",
    help='Inputs and output of the model, as in "string[] -> string". By default read from the '
    "chain.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The project to write to. By default the current folder.",
)
@force_option
@click.option(
    "--router",
    "router",
    metavar="ADDRESS",
    help="Address of the router. By default the configured or known one of the chain.",
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
    """Write a contract and a Python client for a prompt.

    NAME is that of both: AgeCheck becomes contracts/AgeCheck.sol and age_check.py. The placeholders
    of the prompt become typed parameters: {0} is text, {1:uint8} has a Solidity type.

    \b
      ape dtn generate AgeCheck --prompt "Is {0:address} older than {1:uint8}?" \\
          --name owner --name age --api "string[] -> string"
    """  # noqa: D301 (click wants the character)
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
    _say_written(written)
    if needs_ir(found):
        say("To compile so many parameters, set `solidity: via_ir: true` in ape-config.yaml.")
    return {
        "model": model,
        "inputs": list(found.inputs),
        "output": found.output,
        "parameters": [
            {"name": parameter.name, "type": parameter.kind} for parameter in found.parameters
        ],
        "needs_ir": needs_ir(found),
        "files": [str(path) for path in written],
    }


def _api(model: str, specs: str | None, router: str | None) -> Api:
    """The API of the model, from ``--api`` or from the chain."""
    from ape_dtn.types.model import Api

    if specs is not None:
        return Api("", specs, "")
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.errors import NoNetwork

    try:
        return DtnAi(router).model(model).api
    except NoNetwork as err:
        own = 'Or give the API of the model: --api "string[] -> string".'
        err.hint = CommandHint(f"{hint_for(err) or ''} {own}".strip())
        raise


def _say_written(written: Sequence[Path]) -> None:
    say("Written:")
    for path in written:
        say(f"   {path}")
