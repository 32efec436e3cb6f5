"""The ``ape dtn`` commands. Ape imports this module for every command: it has to be quick."""

from __future__ import annotations

import click

from ape_dtn._cli.ask import answer, ask, ask_many
from ape_dtn._cli.command import DtnGroup
from ape_dtn._cli.deployment import deployment
from ape_dtn._cli.devnet import devnet
from ape_dtn._cli.journal import journal, resume
from ape_dtn._cli.local import demo, deploy
from ape_dtn._cli.network import info, models, nodes
from ape_dtn._cli.node import node
from ape_dtn._cli.quote import quote
from ape_dtn._cli.rehearse import rehearse
from ape_dtn._cli.rescue import rescue
from ape_dtn._cli.scaffold import generate, init
from ape_dtn._cli.session import session
from ape_dtn._cli.watch import watch


@click.group(cls=DtnGroup, short_help="Buy AI answers on chain")
@click.version_option(package_name="ape-dtn", prog_name="ape-dtn")
def cli() -> None:
    """Buy AI answers on chain: sessions and requests of the Deep Trust Network.

    A session is opened with a deposit of the network's stablecoin, pays for requests, and is closed
    for a refund of the rest.

    \b
      ape dtn demo                    run a whole session on a chain in this process
      ape dtn info                    show the network that --network is connected to
      ape dtn ask "What is a DTN?"    open a session, ask, print the answer, be refunded
      ape dtn resume                  finish what was interrupted, and pay nothing twice
      ape dtn rescue                  find and recover everything that is yours

    \b
      ape dtn init oracle             write a project: contract, tests, CI
      ape dtn devnet                  run a whole network on this machine
      ape dtn rehearse …              try your contract and its callback on a copy of the chain
      ape dtn node serve …            answer requests and be paid

    Every command takes --json, and then prints nothing but JSON. Exit codes: 0 for success, 2 for
    wrong input, 3 if the network cannot be reached, 4 if the contracts refuse, 5 if there is no
    answer yet, 6 if the node failed, 7 if a transaction was sent and its outcome is not known yet.
    """  # noqa: D301 (click wants the character)


for command in (
    info,
    session,
    quote,
    ask,
    ask_many,
    answer,
    watch,
    rehearse,
    resume,
    rescue,
    journal,
    models,
    nodes,
    node,
    deploy,
    deployment,
    devnet,
    demo,
    init,
    generate,
):
    cli.add_command(command)
