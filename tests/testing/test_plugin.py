"""The plugin as pytest finds it: what it costs, what it can be told, and in a project of a user."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import ape
import pytest

from ape_dtn import DtnSession
from ape_dtn.chain.networks import data_folder
from ape_dtn.devnet.anvil import free_port
from ape_dtn.testing import workers

PROJECT = Path(__file__).with_name("users_project")

# pytest without the plugins that are installed, and with ours.
ALONE = ("-p", "ape_dtn.testing.plugin")

# Ape takes back what a fixture of the session does that comes later than others, as some of this
# project's on purpose.
IN_ORDER = ("-p", "no:randomly")

LOADED = """
import pathlib, sys

def pytest_collection_finish():
    pathlib.Path("loaded").write_text(" ".join(sys.modules))
"""


@pytest.fixture
def own_folder() -> None:
    """What the plugin does about folders is tested here, and not what these tests do."""


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]")  # or that of this project would be found


def test_pytest_finds_it_by_itself() -> None:
    (found,) = entry_points(group="pytest11", name="ape_dtn")

    assert found.value == "ape_dtn.testing.plugin"


@pytest.mark.usefixtures("alone")
def test_unused_it_costs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(LOADED)
    pytester.makepyfile("def test_nothing(): pass")

    def loaded(*options: str) -> set[str]:
        assert pytester.runpytest_subprocess("--collect-only", *options).ret == 0
        return set((pytester.path / "loaded").read_text().split())

    ours = loaded(*ALONE) - loaded()

    # Importing the package itself registers its configuration with Ape.
    of_others = {name for name in ours if not name.startswith(("ape_dtn", "ape.plugins"))}
    assert {name for name in ours if name.startswith("ape_dtn")} == {
        "ape_dtn",
        "ape_dtn.testing",
        "ape_dtn.testing.plugin",
    }
    assert of_others == {"ape"}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("chosen", "options", "ids"),
    [
        ("", (), ["test_it"]),
        ("", ("--dtn-variant", "live"), ["test_it"]),
        ("", ("--dtn-variant", "both"), ["test_it[reference]", "test_it[live]"]),
        ("", ("-o", "dtn_variant=both"), ["test_it[reference]", "test_it[live]"]),
        ("@pytest.mark.dtn_variant('live')", (), ["test_it[live]"]),
        (
            "@pytest.mark.parametrize('dtn_variant', ['live'], indirect=True)",
            ("--dtn-variant", "both"),
            ["test_it[live]"],
        ),
    ],
)
def test_variants_are_chosen(
    pytester: pytest.Pytester, chosen: str, options: tuple[str, ...], ids: list[str]
) -> None:
    pytester.makepyfile(f"import pytest\n\n{chosen}\ndef test_it(dtn): pass")

    done = pytester.runpytest_subprocess("--collect-only", "-q", *ALONE, *options)

    assert [line.partition("::")[2] for line in done.outlines if "::" in line] == ids


@pytest.mark.usefixtures("alone")
def test_a_variant_that_is_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(dtn): pass")

    done = pytester.runpytest_subprocess(*ALONE, "-o", "dtn_variant=strange")

    assert done.ret != 0
    told = "'strange' is no variant: reference, live or both"
    assert told in done.stdout.str() + done.stderr.str()


@pytest.mark.usefixtures("alone")
def test_the_network_cannot_come_late(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture(scope="session")
        def accounts(): return []

        def test_it(request): request.getfixturevalue("dtn")
    """)

    done = pytester.runpytest_subprocess(*ALONE)

    done.stdout.fnmatch_lines(["*have to be named by tests or their fixtures*"])


def test_nothing_is_written_to_the_journal_of_whoever_runs_the_tests(
    dtn_session: DtnSession,
) -> None:
    assert (data_folder(dtn_session.ai.provider) / "journal.sqlite3").is_file()
    assert data_folder(dtn_session.ai.provider) != Path(ape.config.DATA_FOLDER) / "dtn"


@pytest.fixture
def running_chain() -> Iterator[str]:
    """The address of something that accepts connections, as an Anvil of the user does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("alone")
def test_workers_do_not_share_a_running_chain(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, running_chain: str
) -> None:
    monkeypatch.setenv("APE_FOUNDRY_HOST", running_chain)
    pytester.makepyfile("""
        import pytest

        @pytest.fixture(scope="session")
        def accounts(): return []

        def test_it(dtn): pass
    """)

    done = pytester.runpytest_subprocess(*ALONE, "-p", "xdist", "-n", "2")

    told = f"*would all use the chain at {running_chain}: unset APE_FOUNDRY_HOST*without -n.*"
    done.stdout.fnmatch_lines([told])
    done.assert_outcomes(errors=1)


@pytest.mark.parametrize("named", [None, "http://127.0.0.1:1", "auto"])
def test_a_worker_has_a_chain_of_its_own(
    monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.delenv("APE_FOUNDRY_HOST", raising=False)
    if named:
        monkeypatch.setenv("APE_FOUNDRY_HOST", named)

    assert workers.separate() is None
    assert os.environ["APE_FOUNDRY_HOST"].startswith("http://127.0.0.1:")
    assert os.environ["APE_FOUNDRY_HOST"] != named


def test_a_chain_is_recognised_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, running_chain: str
) -> None:
    named = running_chain.removeprefix("http://")
    monkeypatch.setenv("APE_FOUNDRY_HOST", named)

    assert workers.separate() == named


# A project of a user, whose tests are run by `ape test`.


@pytest.fixture(scope="module")
def users_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("user") / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return project


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (("--network", "ethereum:local:test", "-k", "test_b_ or test_d_ or chosen"), 15),
        (("--network", "ethereum:local:foundry", "--dtn-variant", "both"), 33),
    ],
    ids=["in-process", "anvil"],
)
def test_the_tests_of_a_users_project(
    users_project: Path, tmp_path: Path, options: tuple[str, ...], passed: int
) -> None:
    own = {
        "APE_DATA_FOLDER": str(tmp_path / "home"),
        "APE_FOUNDRY_HOST": f"http://127.0.0.1:{free_port()}",
    }
    done = subprocess.run(
        ["ape", "test", "-q", "--tb=short", *IN_ORDER, *options],
        cwd=users_project,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{passed} passed" in done.stdout
    assert not list((tmp_path / "home" / "dtn").glob("*.*"))
