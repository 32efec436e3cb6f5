"""The pytest plugin: fixtures for tests of contracts and programs that use the network.

pytest loads it for every run on the machine, so that nothing is imported here until a fixture is
used. With any of them, the network is deployed before the first test: Ape takes back what a
session's fixture does after a test or a module has begun.
"""

from __future__ import annotations

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


# As the values of `ape_dtn.deployment.assemble.Variant`, which is not imported here, in lower case.
VARIANTS = ("reference", "live")
BOTH = "both"

_NETWORKS = "_dtn_networks"
_wanted = pytest.StashKey[list[str]]()
_folder = pytest.StashKey["TemporaryDirectory[str]"]()
_uses = pytest.StashKey[bool]()
_shared = pytest.StashKey["str | None"]()
_last_choice = pytest.StashKey["pytest.FixtureDef[Any]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of a variant."""
    help = "the variant of the DTN's contracts in tests: reference (the default), live, both"
    parser.addini("dtn_variant", help, default=VARIANTS[0])
    group = parser.getgroup("dtn", "Deep Trust Network")
    group.addoption("--dtn-variant", choices=[*VARIANTS, BOTH], help=help)
    help = "what cassettes record: once (the default), none (the default in CI), new, all"
    group.addoption("--dtn-record", choices=["none", "once", "new", "all"], help=help)
    help = "the real backend that cassettes record; by default that of `dtn: backends:`"
    group.addoption("--dtn-backend", metavar="BACKEND", help=help)


def pytest_configure(config: pytest.Config) -> None:
    """Describes the markers."""
    config.addinivalue_line(
        "markers",
        "dtn_variant(name): the variant of the DTN's contracts in this test: "
        "reference, live or both",
    )
    config.addinivalue_line(
        "markers",
        "dtn_cassette(name): the node answers what a real backend answered when it was recorded; "
        "see --dtn-record",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test once for each variant that is chosen for it."""
    name = dtn_variant.__name__
    definition = metafunc.definition
    if name not in metafunc.fixturenames or _is_overridden(definition):
        return
    if any(name in str(mark.args[0]) for mark in definition.iter_markers("parametrize")):
        return
    mark = definition.get_closest_marker(name)
    chosen = _named(mark.args[0]) if mark else _chosen(metafunc.config)
    if mark or len(chosen) > 1:
        metafunc.parametrize(name, chosen, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the deployment before everything else, if any test has a use for it."""
    with_fixtures = [item for item in items if isinstance(item, pytest.Function)]
    wanted: set[str] = set()
    for item in with_fixtures:
        if _NETWORKS in item.fixturenames:
            item.stash[_uses] = True
            callspec = getattr(item, "callspec", None)
            params = callspec.params if callspec else {}
            known = params.get(dtn_variant.__name__)
            if _is_overridden(item) or known not in (None, *VARIANTS):
                wanted.update(VARIANTS)
            else:
                wanted.update([known] if known else _chosen(config))
    if wanted:
        config.stash[_wanted] = [each for each in VARIANTS if each in wanted]
        config.stash[_folder] = TemporaryDirectory(prefix="dtn-")
        if hasattr(config, "workerinput"):  # of pytest-xdist
            from ape_dtn.testing import workers

            config.stash[_shared] = workers.separate()
        for item in with_fixtures:
            if _NETWORKS not in item.fixturenames:
                item.fixturenames.insert(0, _NETWORKS)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keeps what tests of the network do out of the journal of whoever runs them."""
    with _own_folder(item.config) if _uses in item.stash else nullcontext():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forgets the network of the test before, where other fixtures choose that of this one.

    pytest keeps a fixture of the session, and does not see that what it depends on is overridden in
    the folder of this test.
    """
    if _uses not in item.stash:
        return
    choice = item._fixtureinfo.name2fixturedefs[dtn_variant.__name__][-1]  # type: ignore[attr-defined]  # of pytest.Function
    last = item.config.stash.get(_last_choice, choice)
    if last is not choice:
        last.finish(item._request)  # type: ignore[attr-defined]  # of pytest.Function
    item.config.stash[_last_choice] = choice


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Shows what mends an error of the library below the test that it fails, as commands do."""
    made = yield
    error = call.excinfo.value if call.excinfo else None
    hint = _hint_of(error) if error else None
    if hint:
        made.get_result().sections.append(("Hint", hint))


def _hint_of(error: BaseException) -> str | None:
    from ape_dtn.types.errors import DtnError

    return error.hint if isinstance(error, DtnError) else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what was remembered for this run."""
    if _folder in config.stash:
        config.stash[_folder].cleanup()


@contextmanager
def _own_folder(config: pytest.Config) -> Iterator[None]:
    """What is remembered of local chains goes to a folder of this run meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APE_DTN_LOCAL_FOLDER", config.stash[_folder].name)
        yield


def _chosen(config: pytest.Config) -> list[str]:
    return _named(config.getoption("--dtn-variant") or config.getini("dtn_variant"))


def _named(name: Any) -> list[str]:
    if name == BOTH:
        return list(VARIANTS)
    if name not in VARIANTS:
        raise pytest.UsageError(f"'{name}' is no variant: {', '.join(VARIANTS)} or {BOTH}")
    return [name]


def _is_overridden(item: pytest.Item) -> bool:
    """Whether the tests themselves have a fixture that chooses the variant."""
    found = item._fixtureinfo.name2fixturedefs.get(dtn_variant.__name__, ())  # type: ignore[attr-defined]  # of pytest.Function
    return len(found) > 1


@pytest.fixture(scope="session")
def _dtn_networks(pytestconfig: pytest.Config, accounts: Any) -> Iterator[Networks]:
    """The networks of this run, and the store of what they answer over IPFS."""
    from ape_dtn.deployment.assemble import Variant
    from ape_dtn.ipfs import content_store
    from ape_dtn.testing.network import Networks

    if _wanted not in pytestconfig.stash:
        pytest.fail(
            "Fixtures of the DTN have to be named by tests or their fixtures, or by "
            "@pytest.mark.usefixtures: the network is deployed before the first test.",
            pytrace=False,
        )
    if shared := pytestconfig.stash.get(_shared, None):
        pytest.fail(
            f"The workers of pytest-xdist would all use the chain at {shared}: unset "
            "APE_FOUNDRY_HOST and `foundry: host:`, so that each starts an Anvil of its own, or "
            "run the tests without -n.",
            pytrace=False,
        )
    folder = Path(pytestconfig.stash[_folder].name) / "ipfs"
    with content_store.opened({"embedded": {"folder": folder, "port": 0}}) as store:
        assert store is not None, "one is named"
        networks = Networks(accounts, store)
        with _own_folder(pytestconfig):
            for name in pytestconfig.stash[_wanted]:
                networks.of(Variant(name.capitalize()))
        yield networks


@pytest.fixture(scope="session")
def dtn_variant(request: pytest.FixtureRequest) -> Variant:
    """How the contracts behave: the reference ones, or the live ones of the public networks.

    Chosen by --dtn-variant, `dtn_variant` in pytest's configuration, the marker of this name,
    or a session-scoped fixture of this name in its place.
    """
    from ape_dtn.deployment.assemble import Variant

    name = getattr(request, "param", None) or _chosen(request.config)[0]
    return Variant(name.capitalize())


@pytest.fixture(scope="session")
def dtn(_dtn_networks: Networks, dtn_variant: Variant | str) -> DtnTestNetwork:
    """A whole network, deployed once a run.

    `.ai`, `.router`, `.token` and `.node`, the name of its node; `.amount("0.25")`,
    `.balance(account)` and `.fund(account, "5.00")` in the fee token.
    """
    from ape_dtn.deployment.assemble import Variant

    chosen = dtn_variant
    if isinstance(chosen, str):
        (chosen,) = (Variant(name.capitalize()) for name in _named(chosen))
    return _dtn_networks.of(chosen)


@pytest.fixture(scope="session")
def dtn_account(_dtn_networks: Networks, dtn: DtnTestNetwork) -> Any:
    """An account with coin and 1,000 of the fee token."""
    return _dtn_networks.account


@pytest.fixture(scope="session")
def dtn_token(dtn: DtnTestNetwork) -> Any:
    """The fee token, as a contract of Ape's; `dtn.fund()` gives some of it."""
    return _contract(dtn.token, "TestUSDT")


@pytest.fixture
def dtn_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette | None]:
    """A backend that answers as was recorded, in tests with the marker of this name."""
    if request.node.get_closest_marker("dtn_cassette") is None:
        yield None
        return
    from ape_dtn.testing import cassettes

    with cassettes.inserted(request) as cassette:
        yield cassette


@pytest.fixture
def dtn_node(dtn: DtnTestNetwork, dtn_cassette: Cassette | None) -> DtnTestNode:
    """A node that answers as it is told, when `answer()` is called.

    `reply()`, `reply_in_order()`, `fail()`, `delay()`, `ignore()`, `starve_callback()`,
    `break_callback()` and others tell it, for all questions or by `when`, `model` and `times`.
    `assert_asked()`, `assert_answered()`, `assert_callback_failed()` look at what was done.
    """
    from ape_dtn.testing.node import DtnTestNode

    return DtnTestNode(dtn, otherwise=dtn_cassette)


@pytest.fixture
def dtn_session(dtn: DtnTestNetwork, dtn_account: Any) -> Iterator[DtnSession]:
    """An open session of the account, with 25 tokens, which is closed afterwards.

    `request = dtn_session.request("…")`, `dtn_node.answer()`, `request.wait().value`.
    """
    from ape_dtn.client.session import DtnSession

    session = DtnSession.start("25.00", dtn_account, dtn.ai)
    yield session
    if session.is_open:
        session.close(force=True)


@pytest.fixture
def dtn_client(dtn: DtnTestNetwork, dtn_account: Any) -> Any:
    """The client contract of the account, as a contract of Ape's."""
    return _contract(dtn.create_client(dtn_account), "DtnClient")


def _contract(address: str, artifact: str) -> Any:
    from ape import Contract
    from ethpm_types import ContractType

    from ape_dtn import artifacts

    abi = artifacts.load(artifact)["abi"]
    return Contract(address, contract_type=ContractType(abi=abi, contractName=artifact))
