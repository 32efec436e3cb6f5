"""The contracts of the network: proxies, owners, registries, lists and solvency."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import NODE_USER, FeeToken, Variant, create_token
from ape_dtn.errors import ContractReverted, DtnError, ModelNotFound, SessionNotFound
from ape_dtn.network.abi import ERC20, ModelManager, NodeManager, Router, SessionManager
from ape_dtn.types.abi import Function
from tests.conftest import Cast

from .conftest import (
    FAILURE,
    IMPLEMENTATION,
    MODEL,
    NO_CALLBACK,
    NOBODY,
    NODE_ID,
    REGISTER_NAMESPACE,
    SUCCESS,
    UPDATE_NAMESPACES,
    Net,
    address_at,
    erc7201,
    raw,
    refused,
    replace_sessions,
    storage_at,
)

OWNER = Function("owner()", "address")
NAMESPACE_OWNER = Function("getNamespaceOwner(bytes32)", "address")
UPGRADE = Function("upgradeToAndCall(address,bytes)")
ALREADY_INITIALIZED = raw("InvalidInitialization()")

# How each contract behind a proxy is initialized.
INITIALIZE = {
    "Router": "initialize(address)",
    "SessionManager": "initialize(address,address,address)",
    "ModelManager": "initialize(address,address)",
    "NodeManager": "initialize(address,address)",
    "NamespaceManager": "initialize(address)",
}

# The reference router is the session manager too.
each_contract = pytest.mark.parametrize(
    ("variant", "contract"),
    [
        (variant, contract)
        for variant in Variant
        for contract in INITIALIZE
        if (variant, contract) != (Variant.REFERENCE, "SessionManager")
    ],
    indirect=["variant"],
    ids=lambda value: value.value.lower() if isinstance(value, Variant) else value,
)


def proxy(net: Net, contract: str) -> str:
    contracts = net.contracts
    return {
        "Router": net.router,
        "SessionManager": contracts.session_manager,
        "ModelManager": contracts.model_manager,
        "NodeManager": contracts.node_manager,
        "NamespaceManager": net.namespace_manager,
    }[contract]


def implementation_of(net: Net, variant: Variant, contract: str) -> str:
    """Creates another implementation of a contract."""
    if contract in ("ModelManager", "NamespaceManager"):
        return net.create(contract)
    if (variant, contract) == (Variant.REFERENCE, "Router"):
        return net.create("ReferenceRouter", net.contracts.fee_token)
    return net.create(f"{variant.value}{contract}")


def initialization(contract: str, owner: str) -> tuple[str, tuple[str, ...]]:
    signature = INITIALIZE[contract]
    return signature, (owner,) * (signature.count(",") + 1)


def not_owner(account: Any) -> str:
    return raw("OwnableUnauthorizedAccount(address)", account.address)


# Proxies.


@each_contract
def test_the_erc1967_slot_holds_an_implementation(net: Net, contract: str) -> None:
    implementation = address_at(net.provider, proxy(net, contract), IMPLEMENTATION)

    code = rpc.result(net.provider, "eth_getCode", [implementation, "latest"])
    assert len(code) > 1_000


@each_contract
def test_an_implementation_cannot_be_initialized(net: Net, cast: Cast, contract: str) -> None:
    implementation = address_at(net.provider, proxy(net, contract), IMPLEMENTATION)
    signature, arguments = initialization(contract, cast.stranger.address)

    with refused(ContractReverted, ALREADY_INITIALIZED):
        net.send(cast.stranger, implementation, signature, *arguments)


@each_contract
def test_a_proxy_cannot_be_initialized_again(net: Net, cast: Cast, contract: str) -> None:
    signature, arguments = initialization(contract, cast.stranger.address)

    with refused(ContractReverted, ALREADY_INITIALIZED):
        net.send(cast.owner, proxy(net, contract), signature, *arguments)


@each_contract
def test_only_the_owner_upgrades(net: Net, cast: Cast, variant: Variant, contract: str) -> None:
    upgraded = proxy(net, contract)
    implementation = implementation_of(net, variant, contract)

    with refused(ContractReverted, not_owner(cast.stranger)):
        net.send(cast.stranger, upgraded, UPGRADE, implementation, b"")

    net.send(cast.owner, upgraded, UPGRADE, implementation, b"")
    assert address_at(net.provider, upgraded, IMPLEMENTATION) == implementation


@each_contract
def test_a_proxy_accepts_only_upgradeable_implementations(
    net: Net, cast: Cast, variant: Variant, contract: str
) -> None:
    token = net.contracts.fee_token
    invalid = raw("ERC1967InvalidImplementation(address)", token)
    if (variant, contract) == (Variant.REFERENCE, "Router"):
        invalid = "execution reverted"  # it is asked for its fee token first, and has none

    with refused(ContractReverted, invalid):
        net.send(cast.owner, proxy(net, contract), UPGRADE, token, b"")


@each_contract
def test_an_implementation_cannot_be_upgraded_itself(net: Net, cast: Cast, contract: str) -> None:
    implementation = address_at(net.provider, proxy(net, contract), IMPLEMENTATION)

    with refused(ContractReverted, raw("UUPSUnauthorizedCallContext()")):
        net.send(cast.owner, implementation, UPGRADE, implementation, b"")


def test_an_upgrade_keeps_all_state(net: Net, cast: Cast, variant: Variant) -> None:
    session = net.open(cast.customer, 1_000)
    answered = net.ask(cast.customer, session, most=300)
    net.reply(answered)
    net.ask(cast.customer, session, most=100, fee_asked=3)

    def state() -> list[Any]:
        contracts = net.contracts
        count = net.read(net.router, Router.get_pending_requests_length)
        requests = net.read(net.router, Router.get_pending_requests, 0, count)
        return [
            contracts,
            [net.record(request) for request in requests],
            net.read(net.router, Router.get_completed_requests, 0, 1),
            net.session(session),
            net.read(
                contracts.session_manager,
                SessionManager.get_user_sessions,
                cast.customer.address,
            ),
            net.read(contracts.model_manager, ModelManager.get_model_api, MODEL),
            net.read(contracts.node_manager, NodeManager.get_node, NODE_ID),
            net.read(contracts.node_manager, NodeManager.get_nodes_serving_model, MODEL),
            [net.read(proxy(net, contract), OWNER) for contract in INITIALIZE],
        ]

    before = state()
    for contract, upgraded in {
        proxy(net, contract): contract for contract in reversed(INITIALIZE)
    }.items():
        implementation = implementation_of(net, variant, upgraded)
        net.send(cast.owner, contract, UPGRADE, implementation, b"")

    assert state() == before


def test_the_reference_router_refuses_an_implementation_with_another_token(
    reference: Net, cast: Cast
) -> None:
    other = create_token(reference.provider, cast.owner, FeeToken.USDT)
    implementation = reference.create("ReferenceRouter", other)

    with refused(ContractReverted, f"FeeTokenMismatch(token={other})"):
        reference.send(cast.owner, reference.router, UPGRADE, implementation, b"")


@pytest.mark.parametrize(
    ("contract", "offset", "behind"),
    [
        ("Router", 0, "node_manager"),
        ("Router", 1, "session_manager"),
        ("Router", 2, "model_manager"),
        ("SessionManager", 0, "fee_token"),
        ("NamespaceManager", 0, "node_manager"),
    ],
)
def test_storage_is_where_erc7201_puts_it(
    deployed: Net, contract: str, offset: int, behind: str
) -> None:
    slot = erc7201(f"ape-dtn.{contract}") + offset

    found = address_at(deployed.provider, proxy(deployed, contract), slot)

    assert found == getattr(deployed.contracts, behind)


@pytest.mark.parametrize("contract", ["ModelManager", "NodeManager"])
def test_registries_look_names_up_in_the_namespace_manager(net: Net, contract: str) -> None:
    slot = erc7201(f"ape-dtn.{contract}")

    namespaces = address_at(net.provider, proxy(net, contract), slot)

    system = keccak(text="model.system")
    assert net.read(namespaces, NAMESPACE_OWNER, system) == net.cast.owner.address


def test_the_storage_of_the_reference_router_is_at_erc7201_locations(
    reference: Net, cast: Cast
) -> None:
    first, second = reference.open(cast.customer, 1_000), reference.open(cast.customer, 2_000)
    reference.reply(reference.ask(cast.customer, second, most=200))
    reference.ask(cast.customer, first, most=300)
    reference.ask(cast.customer, second, most=400)

    def word(name: str, offset: int) -> int:
        return storage_at(reference.provider, reference.router, erc7201(name) + offset)

    def in_mapping(key: Any, kind: str, offset: int) -> int:
        mapped = keccak(encode([kind, "uint256"], [key, erc7201("ape-dtn.Sessions") + offset]))
        return storage_at(reference.provider, reference.router, int.from_bytes(mapped, "big"))

    models, nodes = reference.contracts.model_manager, reference.contracts.node_manager
    assert word("ape-dtn.Requests", 0) == 3 << 160 | int(models, 16)
    assert word("ape-dtn.Requests", 1) == 1 << 160 | int(nodes, 16)
    count, held = second, reference.held_by_network
    assert word("ape-dtn.Sessions", 0) == count << 192 | held
    owner = int(cast.customer.address, 16)
    assert in_mapping(second, "uint256", 1) == reference.balance(second) << 160 | owner
    newest = in_mapping(cast.customer.address, "address", 2)
    assert newest == 400 << 128 | first << 64 | second
    assert in_mapping(first, "uint256", 3) == 300 << 128 | second


# Owners.


@each_contract
def test_a_new_owner_has_to_accept(net: Net, cast: Cast, contract: str) -> None:
    owned = proxy(net, contract)
    net.send(cast.owner, owned, "transferOwnership(address)", cast.customer.address)

    with refused(ContractReverted, not_owner(cast.stranger)):
        net.send(cast.stranger, owned, "acceptOwnership()")
    assert net.read(owned, OWNER) == cast.owner.address

    net.send(cast.customer, owned, "acceptOwnership()")
    assert net.read(owned, OWNER) == cast.customer.address


@each_contract
def test_only_the_owner_gives_a_contract_away(net: Net, cast: Cast, contract: str) -> None:
    with refused(ContractReverted, not_owner(cast.stranger)):
        net.send(
            cast.stranger,
            proxy(net, contract),
            "transferOwnership(address)",
            cast.stranger.address,
        )


def test_only_the_owner_chooses_the_contracts_behind_the_router(
    net: Net, cast: Cast, variant: Variant
) -> None:
    count = 2 if variant is Variant.REFERENCE else 3
    managers = (cast.stranger.address,) * count
    signature = f"setManagers({','.join(['address'] * count)})"

    with refused(ContractReverted, not_owner(cast.stranger)):
        net.send(cast.stranger, net.router, signature, *managers)


def test_only_the_owner_chooses_the_registrar(net: Net, cast: Cast) -> None:
    registrar = "setRegistrar(address)"

    with refused(ContractReverted, not_owner(cast.stranger)):
        net.send(cast.stranger, net.namespace_manager, registrar, cast.stranger.address)


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("startUserSession(address)", (NOBODY,)),
        ("closeUserSession(uint256,address)", (1, NOBODY)),
        ("authorizeRequest(uint256,address)", (1, NOBODY)),
        ("chargeUserSession(uint256,uint256,address)", (1, 10, NOBODY)),
    ],
)
@pytest.mark.parametrize("caller", ["owner", "customer", "stranger"])
def test_only_the_router_may_move_money(
    deployed: Net, cast: Cast, signature: str, arguments: tuple[Any, ...], caller: str
) -> None:
    net = deployed
    account = getattr(cast, caller)
    net.open(cast.customer, 1_000)
    net.deposit(cast.customer, 1_000)
    revert = f"Unauthorized(caller={account.address}, owner={net.router})"

    with refused(SessionNotFound, revert):
        net.send(account, net.contracts.session_manager, signature, *arguments)


# What is behind the router can be replaced.


def test_sessions_of_a_replaced_session_manager_are_lost_to_the_router(
    deployed: Net, cast: Cast
) -> None:
    net = deployed
    session = net.open(cast.customer, 500)
    before = replace_sessions(net)

    with pytest.raises(SessionNotFound):
        net.ask(cast.customer, session)
    with pytest.raises(SessionNotFound):
        net.close(cast.customer, session)

    found = net.read(before.session_manager, SessionManager.get_session_by_id, session)
    assert found == (cast.customer.address, 500)


def test_the_router_names_its_current_managers(deployed: Net, cast: Cast) -> None:
    net = deployed
    before = replace_sessions(net)

    now = net.contracts

    changed = {
        field.name
        for field in fields(now)
        if getattr(now, field.name) != getattr(before, field.name)
    }
    assert changed == {"session_manager", "fee_token", "fee_target"}
    assert now.fee_target == now.session_manager


# The registry of names.


def test_a_namespace_gets_an_owner(net: Net, cast: Cast) -> None:
    namespace = net.add_namespace("trust.system.authored", cast.stranger)

    assert net.read(net.namespace_manager, NAMESPACE_OWNER, namespace) == cast.stranger.address


def test_a_namespace_is_given_away_once(net: Net, cast: Cast) -> None:
    with refused(ContractReverted, "Namespace already exists"):
        net.add_namespace("model.system", cast.stranger)


def test_a_namespace_cannot_belong_to_the_zero_address(net: Net) -> None:
    with refused(ContractReverted, "Owner is zero"):
        net.add_namespace("trust.system.authored", NOBODY)


def test_strangers_do_not_give_namespaces_away(net: Net, cast: Cast) -> None:
    arguments = ("trust.system.authored", cast.stranger.address)

    with refused(ContractReverted, "Not a registrar"):
        net.send(cast.stranger, net.namespace_manager, REGISTER_NAMESPACE, *arguments)


# The registry of models.


def test_a_model_and_its_api_are_registered_by_their_namespaces_owner(net: Net, cast: Cast) -> None:
    manager = net.contracts.model_manager
    api_space = net.add_namespace("api.acme", cast.stranger)
    model_space = net.add_namespace("model.acme", cast.stranger)

    api = ("api.acme", "sum", "uint256[] -> uint256", "the numbers")
    api_receipt = net.send(cast.stranger, manager, ModelManager.register_model_api, *api)
    model = ("model.acme", "abacus", "api.acme.sum")
    receipt = net.send(cast.stranger, manager, ModelManager.register_model, *model)

    model_id, api_id = keccak(text="model.acme.abacus"), keccak(text="api.acme.sum")
    assert net.read(manager, ModelManager.model_exists, model_id)
    found = net.read(manager, ModelManager.get_model_config, model_id)
    assert found == (model_space, model_id, api_id, "abacus")
    found = net.read(manager, ModelManager.get_model_api, model_id)
    assert found == (api_space, "sum", api_id, "uint256[] -> uint256", "the numbers")
    assert ModelManager.model_api_registered.find(api_receipt.logs) == [
        {"namespace": "api.acme", "api": "sum", "docs": "the numbers"}
    ]
    assert ModelManager.model_registered.find(receipt.logs) == [
        {"namespace": "model.acme", "modelName": "abacus", "modelId": model_id}
    ]


@pytest.mark.parametrize(
    ("function", "arguments", "revert"),
    [
        (
            ModelManager.register_model_api,
            ("api.system", "llm-simpletext", "string -> string", ""),
            "API already exists",
        ),
        (
            ModelManager.register_model,
            ("model.system", "openai-gpt-5", "api.system.llm-simpletext"),
            "Model already exists",
        ),
        (
            ModelManager.register_model,
            ("model.system", "new", "api.system.nothing"),
            "API does not exist",
        ),
        (
            ModelManager.register_model,
            ("model.nobody", "new", "api.system.llm-simpletext"),
            "Not namespace owner",
        ),
    ],
)
def test_the_registry_of_models_refuses(
    net: Net, cast: Cast, function: Function, arguments: tuple[str, ...], revert: str
) -> None:
    with refused(ContractReverted, revert):
        net.send(cast.owner, net.contracts.model_manager, function, *arguments)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ModelManager.register_model_api, ("api.system", "new", "string -> string", "")),
        (ModelManager.register_model, ("model.system", "new", "api.system.llm-simpletext")),
    ],
    ids=["api", "model"],
)
def test_only_a_namespaces_owner_registers_in_it(
    net: Net, cast: Cast, function: Function, arguments: tuple[str, ...]
) -> None:
    with refused(ContractReverted, "Not namespace owner"):
        net.send(cast.stranger, net.contracts.model_manager, function, *arguments)


def test_an_unknown_model_is_empty(net: Net) -> None:
    manager, unknown = net.contracts.model_manager, keccak(text="model.nobody.nothing")

    assert not net.read(manager, ModelManager.model_exists, unknown)
    empty = (b"\0" * 32, b"\0" * 32, b"\0" * 32, "")
    assert net.read(manager, ModelManager.get_model_config, unknown) == empty


def test_a_request_names_a_registered_model(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer)

    with refused(ModelNotFound, "Model does not exist"):
        net.ask(cast.customer, session, model=keccak(text="model.nobody.nothing"))


# The registry of nodes.


def test_a_user_registers_a_node_with_a_stake(net: Net, cast: Cast) -> None:
    manager, worker = net.contracts.node_manager, cast.worker.address
    customer, stranger = cast.customer.address, cast.stranger.address
    net.send(cast.stranger, manager, NodeManager.register_user, "alice", customer)

    register = ("alice", "first", worker)
    receipt = net.send(cast.stranger, manager, NodeManager.register_node, *register, value=123)

    node = keccak(text="node.alice.first")
    found = net.read(manager, NodeManager.get_node, node)
    assert found == (stranger, customer, worker, (), (), node, True, 123, node)
    assert net.coin(manager) == 123
    assert NodeManager.node_registered.find(receipt.logs) == [
        {"nodeId": node, "staker": customer, "worker": worker}
    ]


@pytest.mark.parametrize("prefix", ["node", "model.node", "api.node"])
def test_a_user_owns_the_namespaces_of_that_name(net: Net, cast: Cast, prefix: str) -> None:
    manager = net.contracts.node_manager
    net.send(cast.stranger, manager, NodeManager.register_user, "alice", cast.stranger.address)

    namespace = keccak(text=f"{prefix}.alice")
    assert net.read(net.namespace_manager, NAMESPACE_OWNER, namespace) == cast.stranger.address


def test_a_username_is_taken_once(net: Net, cast: Cast) -> None:
    manager = net.contracts.node_manager

    with refused(ContractReverted, "User already exists"):
        net.send(cast.stranger, manager, NodeManager.register_user, NODE_USER, NOBODY)


def test_a_user_needs_a_staker(net: Net, cast: Cast) -> None:
    with refused(ContractReverted, "Staker is zero"):
        manager = net.contracts.node_manager
        net.send(cast.stranger, manager, NodeManager.register_user, "alice", NOBODY)


def test_a_node_is_registered_once(net: Net, cast: Cast) -> None:
    net.add_node("second", cast.worker)

    with refused(ContractReverted, "Node already exists"):
        net.add_node("second", cast.worker)


def test_only_the_user_registers_nodes_of_that_name(net: Net, cast: Cast) -> None:
    arguments = (NODE_USER, "second", cast.stranger.address)

    with refused(ContractReverted, "Not namespace owner"):
        manager = net.contracts.node_manager
        net.send(cast.stranger, manager, NodeManager.register_node, *arguments)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (NodeManager.set_node_models, ([MODEL],)),
        (NodeManager.remove_models_from_node, ([MODEL],)),
        (NodeManager.set_node_status, (False,)),
        (UPDATE_NAMESPACES, ([], [], [])),
    ],
    ids=lambda value: value.signature.partition("(")[0] if isinstance(value, Function) else "",
)
@pytest.mark.parametrize("caller", ["worker", "stranger"])
def test_only_its_owner_manages_a_node(
    net: Net, cast: Cast, function: Function, arguments: tuple[Any, ...], caller: str
) -> None:
    with refused(ContractReverted, "Not node owner"):
        manager = net.contracts.node_manager
        net.send(getattr(cast, caller), manager, function, NODE_ID, *arguments)


def test_new_models_take_the_place_of_the_old(net: Net, cast: Cast) -> None:
    manager = net.contracts.node_manager
    image = keccak(text="model.system.openai-gpt-image-1")

    receipt = net.send(cast.owner, manager, NodeManager.set_node_models, NODE_ID, [image])

    assert net.read(manager, NodeManager.get_node_models, NODE_ID) == (image,)
    assert net.read(manager, NodeManager.get_nodes_serving_model, image) == (NODE_ID,)
    assert net.read(manager, NodeManager.get_nodes_serving_model, MODEL) == ()
    assert net.read(manager, NodeManager.node_serves_model, NODE_ID, image)
    assert not net.read(manager, NodeManager.node_serves_model, NODE_ID, MODEL)
    assert NodeManager.node_models_updated.find(receipt.logs) == [
        {"nodeId": NODE_ID, "modelIds": (image,)}
    ]


def test_models_are_taken_from_a_node(net: Net, cast: Cast) -> None:
    manager = net.contracts.node_manager
    before = net.read(manager, NodeManager.get_node_models, NODE_ID)

    receipt = net.send(cast.owner, manager, NodeManager.remove_models_from_node, NODE_ID, [MODEL])

    left = net.read(manager, NodeManager.get_node_models, NODE_ID)
    assert set(left) == set(before) - {MODEL}
    assert net.read(manager, NodeManager.get_nodes_serving_model, MODEL) == ()
    assert NodeManager.node_models_updated.find(receipt.logs) == [
        {"nodeId": NODE_ID, "modelIds": left}
    ]


def test_a_model_that_a_node_does_not_serve_cannot_be_taken(net: Net, cast: Cast) -> None:
    image = keccak(text="model.system.openai-gpt-image-1")

    with refused(ContractReverted, "Model not assigned to node"):
        manager = net.contracts.node_manager
        net.send(cast.owner, manager, NodeManager.remove_models_from_node, NODE_ID, [image])


def test_a_node_is_switched_off_and_on(net: Net, cast: Cast) -> None:
    manager = net.contracts.node_manager
    for active in (False, True):
        receipt = net.send(cast.owner, manager, NodeManager.set_node_status, NODE_ID, active)

        assert net.read(manager, NodeManager.get_node, NODE_ID)[6] is active
        assert NodeManager.node_status_updated.find(receipt.logs) == [
            {"nodeId": NODE_ID, "isActive": active}
        ]


def test_a_node_that_is_off_gets_no_models(net: Net, cast: Cast) -> None:
    manager = net.contracts.node_manager
    net.send(cast.owner, manager, NodeManager.set_node_status, NODE_ID, False)

    with refused(ContractReverted, "Node is not active"):
        net.send(cast.owner, manager, NodeManager.set_node_models, NODE_ID, [MODEL])


@pytest.mark.parametrize(("expirations", "signatures"), [([], [b""]), ([1], [])])
def test_each_namespace_comes_with_an_expiration_and_a_signature(
    net: Net, cast: Cast, expirations: list[int], signatures: list[bytes]
) -> None:
    arguments = (NODE_ID, ["trust.system.authored"], expirations, signatures)

    with refused(ContractReverted, "Invalid signatures length"):
        net.send(cast.owner, net.contracts.node_manager, UPDATE_NAMESPACES, *arguments)


# Requests, in pages.


@pytest.fixture
def three(net: Net, cast: Cast) -> list[bytes]:
    """Three requests; the third and then the first are completed."""
    session = net.open(cast.customer)
    requests = [net.ask(cast.customer, session) for _ in range(3)]
    net.reply(requests[2])
    net.reply(requests[0])
    return requests


@pytest.mark.parametrize(("first", "end"), [(0, 3), (0, 1), (1, 3), (2, 2), (3, 3)])
def test_requests_are_read_in_pages(net: Net, three: list[bytes], first: int, end: int) -> None:
    assert net.read(net.router, Router.get_pending_requests_length) == 3
    page = net.read(net.router, Router.get_pending_requests, first, end)
    assert list(page) == three[first:end]


@pytest.mark.parametrize(("first", "end"), [(0, 2), (1, 2), (2, 2)])
def test_completed_requests_are_read_in_pages(
    net: Net, three: list[bytes], first: int, end: int
) -> None:
    assert net.read(net.router, Router.get_completed_requests_length) == 2
    page = net.read(net.router, Router.get_completed_requests, first, end)
    assert list(page) == [three[2], three[0]][first:end]


@pytest.mark.parametrize(
    ("first", "end", "panic"), [(0, 4, "Panic(code=50)"), (2, 1, "Panic(code=17)")]
)
def test_a_page_beyond_the_end_or_backwards_is_refused(
    net: Net, variant: Variant, three: list[bytes], first: int, end: int, panic: str
) -> None:
    invalid = f"InvalidRange(from={first}, to={end}, count={len(three)})"
    with refused(ContractReverted, panic if variant is Variant.LIVE else invalid):
        net.read(net.router, Router.get_pending_requests, first, end)


def test_a_request_is_recorded_field_by_field(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer)
    callback = (b"\x01\x02\x03\x04", b"\x05\x06\x07\x08", cast.owner.address)
    request = net.ask(
        cast.customer,
        session,
        namespaces=[b"\x07" * 32],
        call=b"call",
        fee_asked=2,
        fee_answered=3,
        most=400,
        callback=callback,
        user=cast.stranger.address,
        callback_gas=5,
    )

    routing = ((b"\x07" * 32,), (NODE_ID,), 1, 8, 0)
    asked = (b"call", b"", 1, 2, 3, 400)
    fixed = (cast.stranger.address, False, MODEL, routing, asked, callback, 5)
    unanswered = (0, "", b"", b"\0" * 32, 0)
    assert net.record(request) == (session, *fixed, 0, unanswered)

    net.reply(request, status=FAILURE, message="No.", response=b"?")

    answer = (FAILURE, "No.", b"?", NODE_ID, net.time)
    completed = (fixed[0], True, *fixed[2:])
    assert net.record(request) == (session, *completed, 1, answer)


def test_an_unknown_request_is_empty(net: Net) -> None:
    record = net.record(b"\x01" * 32)

    assert (record[0], record[1], record[2], record[3]) == (0, NOBODY, False, b"\0" * 32)
    assert record[6] == NO_CALLBACK


def test_an_unknown_request_cannot_be_answered(deployed: Net, reference: Net) -> None:
    with refused(ContractReverted, "Node does not have required trust namespace"):
        deployed.reply(b"\x01" * 32)
    with refused(ContractReverted, f"RequestNotFound(requestId={'0x' + '01' * 32})"):
        reference.reply(b"\x01" * 32)


def test_a_node_answers_once(deployed: Net, reference: Net, cast: Cast) -> None:
    request = deployed.ask(cast.customer, deployed.open(cast.customer), redundancy=2)
    deployed.reply(request)
    with refused(ContractReverted, "Node already responded"):
        deployed.reply(request)

    request = reference.ask(cast.customer, reference.open(cast.customer))
    reference.reply(request)
    with refused(ContractReverted, "Request already completed"):
        reference.reply(request)


def test_a_request_is_completed_once(net: Net, cast: Cast) -> None:
    second = net.add_node("second", cast.stranger)
    session = net.open(cast.customer)
    request = net.ask(cast.customer, session, nodes=[NODE_ID, second])
    net.reply(request)

    with refused(ContractReverted, "Request already completed"):
        net.reply(request, node=second, worker=cast.stranger)


def test_the_first_trusted_node_to_respond_is_paid(net: Net, cast: Cast) -> None:
    second = net.add_node("second", cast.owner)
    session = net.open(cast.customer)
    request = net.ask(cast.customer, session, nodes=[NODE_ID, second])

    net.reply(request, node=second, worker=cast.owner)

    assert (net.held(cast.owner), net.held(cast.worker)) == (200, 0)
    assert net.record(request)[-1][3] == second


# Sessions of an owner.


def test_the_sessions_of_an_owner_are_listed(net: Net, variant: Variant, cast: Cast) -> None:
    first, second, third = (net.open(cast.customer, units) for units in (100, 200, 300))
    net.open(cast.stranger, 400)
    net.close(cast.customer, first)

    manager, owner = net.contracts.session_manager, cast.customer.address
    ids = net.read(manager, SessionManager.get_user_session_ids, owner)
    sessions = net.read(manager, SessionManager.get_user_sessions, owner)
    listed = dict(zip(ids, sessions, strict=True))
    if variant is Variant.LIVE:
        assert listed.pop(first) == (NOBODY, 0)
    assert listed == {second: (owner, 200), third: (owner, 300)}


def test_the_balance_of_a_session_is_read_alone(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer, 100)

    manager = net.contracts.session_manager
    assert net.read(manager, SessionManager.get_session_balance, session) == 100
    assert net.read(manager, SessionManager.get_session_balance, session + 1) == 0


# Solvency, with each token.


def test_the_network_holds_what_its_sessions_and_deposits_are_worth(
    any_net: Net, cast: Cast
) -> None:
    net = any_net
    sessions: list[int] = []

    def is_solvent(unclaimed: int) -> bool:
        return net.held_by_network == sum(map(net.balance, sessions)) + unclaimed

    sessions += [net.open(cast.customer, 1_000), net.open(cast.stranger, 50)]
    assert is_solvent(unclaimed=0)
    first = net.ask(cast.customer, sessions[0], most=400)
    second = net.ask(cast.stranger, sessions[1], most=50)
    assert is_solvent(unclaimed=0)
    net.reply(first)
    net.reply(second, asked=10**6)
    assert is_solvent(unclaimed=0)
    net.deposit(cast.stranger, 77)
    assert is_solvent(unclaimed=77)
    net.ask(cast.customer, sessions[0], most=800)
    net.close(cast.customer, sessions[0])
    assert is_solvent(unclaimed=77)
    sessions.append(net.start(cast.customer))
    assert is_solvent(unclaimed=0)
    net.close(cast.stranger, sessions[1])
    net.close(cast.customer, sessions[2])

    assert net.held_by_network == 0
    assert net.held(cast.worker) == 200 + 50


def test_a_session_is_used_closed_and_refunded_in_each_token(any_net: Net, cast: Cast) -> None:
    before = any_net.held(cast.customer)
    session = any_net.open(cast.customer, 1_000)
    request = any_net.ask(cast.customer, session)
    any_net.reply(request)

    any_net.close(cast.customer, session)

    assert any_net.fetch(request)[0] == SUCCESS
    assert any_net.held(cast.customer) == before - 200
    assert any_net.held(cast.worker) == 200


def test_an_account_cannot_deposit_more_than_it_has(any_net: Net, cast: Cast) -> None:
    too_much = any_net.held(cast.customer) + 1

    with pytest.raises(DtnError) as raised:
        any_net.deposit(cast.customer, too_much)

    assert raised.value.revert is not None
    assert any_net.held_by_network == 0


def test_the_test_tokens_differ_in_what_transfer_returns(any_net: Net, cast: Cast) -> None:
    token = any_net.contracts.fee_token
    symbol = any_net.read(token, ERC20.symbol)
    data = "0x" + ERC20.transfer.encode(cast.stranger.address, 1).hex()
    call = {"from": cast.customer.address, "to": token, "data": data}

    returned = rpc.result(any_net.provider, "eth_call", [call, "latest"])

    assert returned == {"USDT": "0x", "USDC": "0x" + encode(["bool"], [True]).hex()}[symbol]


def test_an_owner_who_replaces_the_node_manager_can_collect_pending_fees(
    reference: Net, cast: Cast
) -> None:
    """The owner can collect nothing more; see SECURITY.md."""
    session = reference.open(cast.customer, 1_000_000)
    request = reference.ask(cast.customer, session, most=300_000)
    before = reference.held(cast.owner)
    takes_anybody = reference.create_raw("5f195f5260205ff3")
    replace = Function("setManagers(address,address)")
    models = reference.contracts.model_manager
    reference.send(cast.owner, reference.router, replace, takes_anybody, models)

    reference.reply(request, worker=cast.owner, asked=10**9, answered=0)

    assert reference.held(cast.owner) == before + 300_000
    assert reference.balance(session) == 700_000
