"""The pytest plugin: loading, options, workers, and a user's project."""

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

# Options to load only this plugin, with plugin autoloading disabled.
ONLY_PLUGIN = ("-p", "ape_dtn.testing.plugin")

# Tests of users_project must run in order: Ape reverts session-scoped fixtures that start late.
IN_ORDER = ("-p", "no:randomly")

LOADED = """
import pathlib, sys

def pytest_collection_finish():
    pathlib.Path("loaded").write_text(" ".join(sys.modules))
"""


@pytest.fixture
def own_folder() -> None:
    """Override this project's fixture: the plugin's own temporary folder is tested here."""


@pytest.fixture
def only_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]")  # otherwise pytest finds that of this checkout


def test_the_entry_point_is_registered() -> None:
    (entry_point,) = entry_points(group="pytest11", name="ape_dtn")

    assert entry_point.value == "ape_dtn.testing.plugin"


@pytest.mark.usefixtures("only_plugin")
def test_an_unused_plugin_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(LOADED)
    pytester.makepyfile("def test_nothing(): pass")

    def loaded(*options: str) -> set[str]:
        assert pytester.runpytest_subprocess("--collect-only", *options).ret == 0
        return set((pytester.path / "loaded").read_text().split())

    added = loaded(*ONLY_PLUGIN) - loaded()

    # Importing the package itself registers its configuration with Ape.
    foreign = {name for name in added if not name.startswith(("ape_dtn", "ape.plugins"))}
    assert {name for name in added if name.startswith("ape_dtn")} == {
        "ape_dtn",
        "ape_dtn.testing",
        "ape_dtn.testing.plugin",
    }
    assert foreign == {"ape"}


@pytest.mark.usefixtures("only_plugin")
@pytest.mark.parametrize(
    ("marker", "options", "ids"),
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
    pytester: pytest.Pytester, marker: str, options: tuple[str, ...], ids: list[str]
) -> None:
    pytester.makepyfile(f"import pytest\n\n{marker}\ndef test_it(dtn): pass")

    result = pytester.runpytest_subprocess("--collect-only", "-q", *ONLY_PLUGIN, *options)

    assert [line.partition("::")[2] for line in result.outlines if "::" in line] == ids


@pytest.mark.usefixtures("only_plugin")
def test_an_unknown_variant_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(dtn): pass")

    result = pytester.runpytest_subprocess(*ONLY_PLUGIN, "-o", "dtn_variant=strange")

    assert result.ret != 0
    message = "Unknown variant 'strange': use reference, live or both"
    assert message in result.stdout.str() + result.stderr.str()


@pytest.mark.usefixtures("only_plugin")
def test_the_network_cannot_be_requested_during_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture(scope="session")
        def accounts(): return []

        def test_it(request): request.getfixturevalue("dtn")
    """)

    result = pytester.runpytest_subprocess(*ONLY_PLUGIN)

    result.stdout.fnmatch_lines(["*request the DTN fixtures as arguments*"])


def test_tests_do_not_write_to_the_users_journal(
    dtn_session: DtnSession,
) -> None:
    assert (data_folder(dtn_session.ai.provider) / "journal.sqlite3").is_file()
    assert data_folder(dtn_session.ai.provider) != Path(ape.config.DATA_FOLDER) / "dtn"


@pytest.fixture
def running_chain() -> Iterator[str]:
    """The URL of a listening socket, in place of a user's Anvil."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("only_plugin")
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

    result = pytester.runpytest_subprocess(*ONLY_PLUGIN, "-p", "xdist", "-n", "2")

    message = f"*would share the chain at {running_chain}: unset APE_FOUNDRY_HOST*without -n.*"
    result.stdout.fnmatch_lines([message])
    result.assert_outcomes(errors=1)


@pytest.mark.parametrize("configured", [None, "http://127.0.0.1:1", "auto"])
def test_a_worker_gets_its_own_chain(
    monkeypatch: pytest.MonkeyPatch, configured: str | None
) -> None:
    monkeypatch.delenv("APE_FOUNDRY_HOST", raising=False)
    if configured:
        monkeypatch.setenv("APE_FOUNDRY_HOST", configured)

    assert workers.separate() is None
    assert os.environ["APE_FOUNDRY_HOST"].startswith("http://127.0.0.1:")
    assert os.environ["APE_FOUNDRY_HOST"] != configured


def test_a_running_chain_is_recognised_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, running_chain: str
) -> None:
    configured = running_chain.removeprefix("http://")
    monkeypatch.setenv("APE_FOUNDRY_HOST", configured)

    assert workers.separate() == configured


# A user's project, whose tests are run with `ape test`.


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
def test_a_users_project_passes_its_tests(
    users_project: Path, tmp_path: Path, options: tuple[str, ...], passed: int
) -> None:
    environment = {
        "APE_DATA_FOLDER": str(tmp_path / "home"),
        "APE_FOUNDRY_HOST": f"http://127.0.0.1:{free_port()}",
    }
    result = subprocess.run(
        ["ape", "test", "-q", "--tb=short", *IN_ORDER, *options],
        cwd=users_project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{passed} passed" in result.stdout
    assert not list((tmp_path / "home" / "dtn").glob("*.*"))
