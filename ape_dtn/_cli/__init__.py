"""The ``ape dtn`` commands. Ape loads this module for every command: it imports next to nothing."""

from __future__ import annotations

import click

from ape_dtn._cli.ask import answer, ask, ask_many
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


@click.group(short_help="Buy AI answers on chain")
def cli() -> None:
    """Buy AI answers on chain: sessions and requests of the Deep Trust Network.

    A session is opened with a deposit of the network's stablecoin, pays for requests, and is closed
    for a refund of the rest.

    \b
      ape dtn demo                    see all of it happen, on a chain in this process
      ape dtn info                    the network that --network is connected to
      ape dtn ask "What is a DTN?"    open a session, ask, get the answer, be refunded
      ape dtn resume                  finish what was interrupted, and pay nothing twice
      ape dtn rescue                  find all that is yours anywhere, and bring it home

    \b
      ape dtn init oracle             a project that works at once: contract, tests, CI
      ape dtn devnet                  a whole network on this machine
      ape dtn rehearse …              your contract's call and its callback, on a copy of the chain
      ape dtn node serve …            answer requests, and be paid

    Every command takes --json, and then prints nothing but JSON. It exits with 0 when it did what
    was asked, 2 when something given is wrong, 3 when the network cannot be reached, 4 when the
    contracts refuse, 5 when there is no answer yet, 6 when the node failed, and 7 when a
    transaction was sent and its outcome is not known yet.
    """  # noqa: D301 (for click, it has to be the character)


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
