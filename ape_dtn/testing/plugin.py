"""The pytest plugin: fixtures for testing contracts and programs that use the network.

pytest loads it in every run, so other modules are imported only inside fixtures. The network is
deployed before the first test, because Ape reverts what a session-scoped fixture does after a test
or a module has begun.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pluggy

    from ape_dtn.client.session import DtnSession
    from ape_dtn.deployment.assemble import Variant
    from ape_dtn.testing.cassettes import Cassette
    from ape_dtn.testing.network import DtnTestNetwork, Networks
    from ape_dtn.testing.node import DtnTestNode


# The values of `ape_dtn.deployment.assemble.Variant` in lower case, without importing it.
VARIANTS = ("reference", "live")
BOTH = "both"

_NETWORKS = "_dtn_networks"
_variants = pytest.StashKey[list[str]]()
_folder = pytest.StashKey["TemporaryDirectory[str]"]()
_uses_network = pytest.StashKey[bool]()
_shared_chain = pytest.StashKey["str | None"]()
_last_definition = pytest.StashKey["pytest.FixtureDef[Any]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    help = "the variant of the DTN contracts in tests: reference (the default), live or both"
    parser.addini("dtn_variant", help, default=VARIANTS[0])
    group = parser.getgroup("dtn", "Deep Trust Network")
    group.addoption("--dtn-variant", choices=[*VARIANTS, BOTH], help=help)
    help = "what cassettes record: once (the default), none (the default in CI), new or all"
    group.addoption("--dtn-record", choices=["none", "once", "new", "all"], help=help)
    help = "the backend that cassettes record; by default that of `dtn: backends:`"
    group.addoption("--dtn-backend", metavar="BACKEND", help=help)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line(
        "markers",
        "dtn_variant(name): the variant of the DTN contracts in this test: reference, live or both",
    )
    config.addinivalue_line(
        "markers",
        "dtn_cassette(name): the node replays the recorded answers of a backend; see --dtn-record",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each chosen variant."""
    name = dtn_variant.__name__
    definition = metafunc.definition
    if name not in metafunc.fixturenames or _is_overridden(definition):
        return
    if any(name in str(mark.args[0]) for mark in definition.iter_markers("parametrize")):
        return
    mark = definition.get_closest_marker(name)
    chosen = _parse_variant(mark.args[0]) if mark else _chosen(metafunc.config)
    if mark or len(chosen) > 1:
        metafunc.parametrize(name, chosen, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deploy the network before all tests, if any test uses it."""
    with_fixtures = [item for item in items if isinstance(item, pytest.Function)]
    used: set[str] = set()
    for item in with_fixtures:
        if _NETWORKS in item.fixturenames:
            item.stash[_uses_network] = True
            callspec = getattr(item, "callspec", None)
            params = callspec.params if callspec else {}
            variant = params.get(dtn_variant.__name__)
            if _is_overridden(item) or variant not in (None, *VARIANTS):
                used.update(VARIANTS)
            else:
                used.update([variant] if variant else _chosen(config))
    if used:
        config.stash[_variants] = [variant for variant in VARIANTS if variant in used]
        config.stash[_folder] = TemporaryDirectory(prefix="dtn-")
        if hasattr(config, "workerinput"):  # a worker of pytest-xdist
            from ape_dtn.testing import workers

            config.stash[_shared_chain] = workers.separate()
        for item in with_fixtures:
            if _NETWORKS not in item.fixturenames:
                item.fixturenames.insert(0, _NETWORKS)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keep tests that use the network out of the user's own journal."""
    with _temporary_journal(item.config) if _uses_network in item.stash else nullcontext():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tear down ``dtn_variant`` when the next test uses another definition of it.

    pytest caches session-scoped fixtures, and does not notice that the folder of the next test
    overrides one of their dependencies.
    """
    if (views := sys.modules.get("ape_dtn.chain.views")) is not None:
        views.forget()  # Ape sets the chain back between tests
    if _uses_network not in item.stash:
        return
    definition = item._fixtureinfo.name2fixturedefs[dtn_variant.__name__][-1]  # type: ignore[attr-defined]  # of pytest.Function
    last = item.config.stash.get(_last_definition, definition)
    if last is not definition:
        last.finish(item._request)  # type: ignore[attr-defined]  # of pytest.Function
    item.config.stash[_last_definition] = definition


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Show an error's hint below the failed test."""
    outcome = yield
    error = call.excinfo.value if call.excinfo else None
    hint = _hint_of(error) if error else None
    if hint:
        outcome.get_result().sections.append(("Hint", hint))


def _hint_of(error: BaseException) -> str | None:
    from ape_dtn.types.errors import DtnError

    return error.hint if isinstance(error, DtnError) else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary folder of this run."""
    if _folder in config.stash:
        config.stash[_folder].cleanup()


@contextmanager
def _temporary_journal(config: pytest.Config) -> Iterator[None]:
    """Record local chains in a folder of this run instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APE_DTN_LOCAL_FOLDER", config.stash[_folder].name)
        yield


def _chosen(config: pytest.Config) -> list[str]:
    return _parse_variant(config.getoption("--dtn-variant") or config.getini("dtn_variant"))


def _parse_variant(name: Any) -> list[str]:
    if name == BOTH:
        return list(VARIANTS)
    if name not in VARIANTS:
        names = ", ".join(VARIANTS)
        raise pytest.UsageError(f"Unknown variant '{name}': use {names} or {BOTH}")
    return [name]


def _is_overridden(item: pytest.Item) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs.get(dtn_variant.__name__, ())  # type: ignore[attr-defined]  # of pytest.Function
    return len(definitions) > 1


@pytest.fixture(scope="session")
def _dtn_networks(pytestconfig: pytest.Config, accounts: Any) -> Iterator[Networks]:
    from ape_dtn.deployment.assemble import Variant
    from ape_dtn.ipfs import content_store
    from ape_dtn.testing.network import Networks

    if _variants not in pytestconfig.stash:
        pytest.fail(
            "The network is deployed before the first test: request the DTN fixtures as arguments "
            "of tests or fixtures, or with @pytest.mark.usefixtures.",
            pytrace=False,
        )
    if shared := pytestconfig.stash.get(_shared_chain, None):
        pytest.fail(
            f"The workers of pytest-xdist would share the chain at {shared}: unset "
            "APE_FOUNDRY_HOST and `foundry: host:`, so that each worker starts its own Anvil, or "
            "run the tests without -n.",
            pytrace=False,
        )
    folder = Path(pytestconfig.stash[_folder].name) / "ipfs"
    with content_store.opened({"embedded": {"folder": folder, "port": 0}}) as store:
        assert store is not None
        networks = Networks(accounts, store)
        with _temporary_journal(pytestconfig):
            for name in pytestconfig.stash[_variants]:
                networks.of(Variant(name.capitalize()))
        yield networks


@pytest.fixture(scope="session")
def dtn_variant(request: pytest.FixtureRequest) -> Variant:
    """The variant of the contracts: reference, or live as on the public networks.

    Chosen by --dtn-variant, by `dtn_variant` in pytest's configuration, by the marker of the
    same name, or by overriding this fixture with session scope.
    """
    from ape_dtn.deployment.assemble import Variant

    name = getattr(request, "param", None) or _chosen(request.config)[0]
    return Variant(name.capitalize())


@pytest.fixture(scope="session")
def dtn(_dtn_networks: Networks, dtn_variant: Variant | str) -> DtnTestNetwork:
    """A complete network, deployed once per run.

    It has `.ai`, `.router`, `.token` and `.node` (the name of its node); `.amount("0.25")`,
    `.balance(account)` and `.fund(account, "5.00")` work in the fee token.
    """
    from ape_dtn.deployment.assemble import Variant

    chosen = dtn_variant
    if isinstance(chosen, str):
        (chosen,) = (Variant(name.capitalize()) for name in _parse_variant(chosen))
    return _dtn_networks.of(chosen)


@pytest.fixture(scope="session")
def dtn_account(_dtn_networks: Networks, dtn: DtnTestNetwork) -> Any:
    """An account with ETH for gas and 1,000 of the fee token."""
    return _dtn_networks.account


@pytest.fixture(scope="session")
def dtn_token(dtn: DtnTestNetwork) -> Any:
    """The fee token as an Ape contract; `dtn.fund()` mints it."""
    return _contract(dtn.token, "TestUSDT")


@pytest.fixture
def dtn_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette | None]:
    """The cassette of a test marked with ``@pytest.mark.dtn_cassette``, or None."""
    if request.node.get_closest_marker("dtn_cassette") is None:
        yield None
        return
    from ape_dtn.testing import cassettes

    with cassettes.inserted(request) as cassette:
        yield cassette


@pytest.fixture
def dtn_node(dtn: DtnTestNetwork, dtn_cassette: Cassette | None) -> DtnTestNode:
    """A scriptable mock node, which answers when `answer()` is called.

    `reply()`, `reply_in_order()`, `fail()`, `delay()`, `ignore()`, `starve_callback()`,
    `break_callback()` and others add rules, for all questions or limited by `when`, `model` and
    `times`. `assert_asked()`, `assert_answered()` and `assert_callback_failed()` check the result.
    """
    from ape_dtn.testing.node import DtnTestNode

    return DtnTestNode(dtn, otherwise=dtn_cassette)


@pytest.fixture
def dtn_session(dtn: DtnTestNetwork, dtn_account: Any) -> Iterator[DtnSession]:
    """An open session of `dtn_account` with 25 tokens; closed after the test.

    `request = dtn_session.request("…")`, `dtn_node.answer()`, `request.wait().value`.
    """
    from ape_dtn.client.session import DtnSession

    session = DtnSession.start("25.00", dtn_account, dtn.ai)
    yield session
    if session.is_open:
        session.close(force=True)


@pytest.fixture
def dtn_client(dtn: DtnTestNetwork, dtn_account: Any) -> Any:
    """The client contract of `dtn_account`, as an Ape contract."""
    return _contract(dtn.create_client(dtn_account), "DtnClient")


def _contract(address: str, artifact: str) -> Any:
    from ape import Contract
    from ethpm_types import ContractType

    from ape_dtn import artifacts

    abi = artifacts.load(artifact)["abi"]
    return Contract(address, contract_type=ContractType(abi=abi, contractName=artifact))
