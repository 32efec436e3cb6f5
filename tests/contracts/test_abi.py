"""Selectors, topics and fields of the contracts are those of the live network.

The constants are computed from the signatures that the network publishes, with enums as uint8, and
not from our own sources, which are compared with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak

from ape_dtn import artifacts
from ape_dtn.network import abi
from ape_dtn.network.abi import SessionManager
from ape_dtn.requests.routing import Aggregation
from ape_dtn.types.abi import Error, Event, Function
from ape_dtn.types.answer import CallType, Status

Entry = Mapping[str, Any]

INTERFACE = Path(__file__).parents[2] / "contracts" / "IDtnAi.sol"

ROUTING = "(bytes32[],bytes32[],uint32,uint8,uint8)"
REQUEST = "(bytes,bytes,uint8,uint256,uint256,uint256)"
CALLBACK = "(bytes4,bytes4,address)"
RESPONSE = "(uint8,string,bytes,bytes32,uint256)"
RECORD = f"(uint256,address,bool,bytes32,{ROUTING},{REQUEST},{CALLBACK},uint256,uint256,{RESPONSE})"
NODE = "(address,address,address,bytes32[],uint256[],bytes32,bool,uint256,bytes32)"

# By signature: the selector, what is returned, whether it may change the chain.
FUNCTIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Router": {
        "startUserSession()": ("6d8de31f", "uint256", "nonpayable"),
        "closeUserSession(uint256)": ("e2d6f51b", "", "nonpayable"),
        f"request(uint256,bytes32,{ROUTING},{REQUEST},{CALLBACK},address,uint256)": (
            "e51d6822",
            "bytes32",
            "payable",
        ),
        "fetchResponse(bytes32)": ("d1e4be07", "uint8,string,bytes", "view"),
        "respondToRequest(bytes32,uint8,string,bytes,bytes32,uint256,uint256)": (
            "ce0a5187",
            "",
            "nonpayable",
        ),
        "modelId(string)": ("437172bc", "bytes32", "view"),
        "feeToken()": ("647846a5", "address", "view"),
        "feeTarget()": ("cd3c695a", "address", "view"),
        "getRequest(bytes32)": ("fb1e61ca", RECORD, "view"),
        "getPendingRequestsLength()": ("8d140cae", "uint256", "view"),
        "getPendingRequests(uint256,uint256)": ("79e041f2", "bytes32[]", "view"),
        "getCompletedRequestsLength()": ("2757c2f7", "uint256", "view"),
        "getCompletedRequests(uint256,uint256)": ("c19b7885", "bytes32[]", "view"),
        "sessionManager()": ("b7b13f79", "address", "view"),
        "modelManager()": ("1c6fd72a", "address", "view"),
        "nodeManager()": ("9bb5cd3f", "address", "view"),
    },
    "SessionManager": {
        "getSessionById(uint256)": ("4db9913c", "(address,uint256)", "view"),
        "getSessionBalance(uint256)": ("562b71d4", "uint256", "view"),
        "getUserSessionIds(address)": ("3d97fbda", "uint256[]", "view"),
        "getUserSessions(address)": ("223715dd", "(address,uint256)[]", "view"),
        "getFeeToken()": ("ca709a25", "address", "view"),
        "getFeeTarget()": ("5527014c", "address", "view"),
    },
    "ModelManager": {
        "modelExists(bytes32)": ("022964d2", "bool", "view"),
        "getModelConfig(bytes32)": ("6200fdc1", "(bytes32,bytes32,bytes32,string)", "view"),
        "getModelAPI(bytes32)": ("28d2f47f", "(bytes32,string,bytes32,string,string)", "view"),
        "registerModelAPI(string,string,string,string)": ("552c9927", "", "nonpayable"),
        "registerModel(string,string,string)": ("7715fcc3", "bytes32", "nonpayable"),
    },
    "NodeManager": {
        "getNode(bytes32)": ("50c946fe", NODE, "view"),
        "getNodeModels(bytes32)": ("3cce4b5f", "bytes32[]", "view"),
        "getNodesServingModel(bytes32)": ("416b26df", "bytes32[]", "view"),
        "nodeServesModel(bytes32,bytes32)": ("ede0e015", "bool", "view"),
        "nodeHasTrustNamespace(bytes32,bytes32)": ("dd55b00c", "bool", "view"),
        "nodeTrustNamespaceExpiration(bytes32,bytes32)": ("1e892ccf", "uint256", "view"),
        "registerUser(string,address)": ("0e54b872", "", "nonpayable"),
        "registerNode(string,string,address)": ("2b764a31", "", "payable"),
        "setNodeModels(bytes32,bytes32[])": ("70d271b5", "", "nonpayable"),
        "removeModelsFromNode(bytes32,bytes32[])": ("5a641d32", "", "nonpayable"),
        "setNodeStatus(bytes32,bool)": ("88d44896", "", "nonpayable"),
    },
}

# By declaration, the topic.
EVENTS: dict[str, dict[str, str]] = {
    "Router": {
        "RequestCreated(bytes32 indexed requestId, uint256 indexed sessionId, "
        "address indexed user)": (
            "146edb1cf019355ed32a9220da0c085f37fffdf2933b4274e8eda3aeab901ba4"
        ),
        "ResponseReceived(bytes32 indexed requestId, bytes32 indexed nodeId, uint8 status)": (
            "eb283c28f91993bafa4d21e3050792eb71615441c3dd228b74c8982c0a9c98f3"
        ),
        "RequestCompleted(bytes32 indexed requestId, uint8 status)": (
            "7440dcb305810aebdd91a4774340f006b79bd122b97103951423b74babbe2e81"
        ),
        "SuccessCallbackFailed(bytes32 indexed requestId, bytes data)": (
            "ca7cb5fec581ff43e2ba66ce1647295b3efa8ee7c4a1f9f211b3ce720ac3aa33"
        ),
        "FailureCallbackFailed(bytes32 indexed requestId, bytes data)": (
            "98388b050cb6da6b95f851c993308e53a4752933bdf72cc03900d5b7f61135bb"
        ),
    },
    "SessionManager": {
        "SessionStarted(uint256 indexed sessionId, address indexed owner, uint256 balance)": (
            "16179d2ae7d0f222358d8b9a730126da72c9a3c322b695c25d9a67dcbad4b745"
        ),
        "SessionCharged(uint256 indexed sessionId, uint256 amount, address indexed to)": (
            "95d9ac71fa5059c6b0dab152a1b719046f8820751d0ef43042b6d7d9a2b69a77"
        ),
        "SessionClosed(uint256 indexed sessionId, uint256 remainingBalance)": (
            "d2fe606d6e5a1d7a66766fa1df5b7868957cdeb3e929db537e6cea563a79e8e6"
        ),
    },
    "ModelManager": {
        "ModelAPIRegistered(string namespace, string api, string docs)": (
            "89575a3f2d7b33810040ff3675bdbde5cd826812ddba463f35ac829cf130fcc0"
        ),
        "ModelRegistered(string namespace, string modelName, bytes32 modelId)": (
            "1cce9f901183dd4596be1b35dc2d01618a2c0780c32dc813293d46336280a9ba"
        ),
    },
    "NodeManager": {
        "NodeRegistered(bytes32 indexed nodeId, address indexed staker, address worker)": (
            "cd94d968f34587266f0b6cc2cae4eea2be9e79a2d13cd3da7f8a24a8d6efef88"
        ),
        "NodeModelsUpdated(bytes32 indexed nodeId, bytes32[] modelIds)": (
            "0eae3b28f5733d08492d71ca3c0c9636a95ad4e99a67358eccf608921aacbb8b"
        ),
        "NodeStatusUpdated(bytes32 indexed nodeId, bool isActive)": (
            "ed2bf659025c6e41a9002b0f00cdfb398811c6fde9a8b71a04b6180ab7023a25"
        ),
    },
}

# By declaration, the selector.
ERRORS = {
    "InsufficientBalance(uint256 sessionId, uint256 required, uint256 available)": "fcca3733",
    "InvalidSession(uint256 sessionId)": "950e8270",
    "Unauthorized(address caller, address owner)": "295a81c1",
    "InvalidAmount()": "2c5211c6",
}
REFERENCE_ERRORS = {
    "SessionNotFound(uint256 sessionId)": "95e2fa37",
    "InsufficientFunds(uint256 sessionId, uint256 required, uint256 available)": "f5623b72",
    "SessionAlreadyClosed(uint256 sessionId)": "274ecf8d",
}
REFERENCE_ROUTER_ERRORS = {
    "CallbackTargetNotAllowed(address target)",
    "FeeTokenMismatch(address token)",
    "InsufficientGasForCallback(uint256 callbackGas)",
    "InvalidRange(uint256 from, uint256 to, uint256 count)",
    "RequestNotFound(bytes32 requestId)",
}

# `IDtnAi` is the first eight: from `startUserSession` to `feeTarget`.
CONSUMERS = list(FUNCTIONS["Router"])[:8]

ARTIFACTS = {
    "LiveRouter": "Router",
    "ReferenceRouter": "Router",
    "LiveSessionManager": "SessionManager",
    "ModelManager": "ModelManager",
    "LiveNodeManager": "NodeManager",
    "ReferenceNodeManager": "NodeManager",
}

each_artifact = pytest.mark.parametrize(("artifact", "interface"), ARTIFACTS.items())
each_interface = pytest.mark.parametrize("interface", FUNCTIONS)


def of_kind(artifact: str, kind: str) -> list[Entry]:
    return [entry for entry in artifacts.load(artifact)["abi"] if entry["type"] == kind]


def type_of(value: Entry) -> str:
    """A type as in selectors: structs as tuples of their fields' types."""
    kind: str = value["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(type_of, value['components']))}){kind.removeprefix('tuple')}"


def signature(entry: Entry) -> str:
    return f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"


def declaration(entry: Entry) -> str:
    fields = (
        f"{type_of(field)} {'indexed ' if field.get('indexed') else ''}{field['name']}"
        for field in entry["inputs"]
    )
    return f"{entry['name']}({', '.join(fields)})"


def selector(entry: Entry) -> str:
    return keccak(text=signature(entry))[:4].hex()


def functions(artifact: str) -> dict[str, tuple[str, str, str]]:
    return {
        signature(entry): (
            selector(entry),
            ",".join(map(type_of, entry["outputs"])),
            # A pure function is a view that reads nothing.
            entry["stateMutability"].replace("pure", "view"),
        )
        for entry in of_kind(artifact, "function")
    }


def events(artifact: str) -> dict[str, str]:
    return {
        declaration(entry): keccak(text=signature(entry)).hex()
        for entry in of_kind(artifact, "event")
    }


def errors(artifact: str) -> dict[str, str]:
    return {declaration(entry): selector(entry) for entry in of_kind(artifact, "error")}


def function(artifact: str, name: str) -> Entry:
    (found,) = [entry for entry in of_kind(artifact, "function") if entry["name"] == name]
    return found


def fields(value: Entry) -> list[Any]:
    """Names of a struct's fields in order, nested structs included."""
    return [
        (field["name"], fields(field)) if "components" in field else field["name"]
        for field in value["components"]
    ]


def part(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The expected keys of what was found. Contracts may have more."""
    return {key: found.get(key) for key in expected}


@each_artifact
def test_functions_are_those_of_the_live_contracts(artifact: str, interface: str) -> None:
    assert part(FUNCTIONS[interface], functions(artifact)) == FUNCTIONS[interface]


@each_artifact
def test_events_are_those_of_the_live_contracts(artifact: str, interface: str) -> None:
    assert part(EVENTS[interface], events(artifact)) == EVENTS[interface]


@pytest.mark.parametrize("artifact", ["LiveSessionManager", "ReferenceRouter"])
def test_errors_are_those_of_the_live_contracts(artifact: str) -> None:
    assert part(ERRORS, errors(artifact)) == ERRORS


def test_the_reference_variant_has_more_errors() -> None:
    found = errors("ReferenceRouter")

    assert part(REFERENCE_ERRORS, found) == REFERENCE_ERRORS
    live = {*errors("LiveRouter"), *errors("LiveSessionManager")}
    written = "AlreadyWritten()"  # reachable by no call
    assert set(found) - live == {*REFERENCE_ERRORS, *REFERENCE_ROUTER_ERRORS, written}


def test_the_live_routers_abi_has_no_errors_of_the_session_manager() -> None:
    assert not set(errors("LiveRouter")) & set(ERRORS)


@pytest.mark.parametrize("kind", ["function", "event"])
@pytest.mark.parametrize("contract", ["Router", "NodeManager"])
def test_the_reference_interface_has_all_of_the_live_one(contract: str, kind: str) -> None:
    live, reference = (
        {declaration(entry) for entry in of_kind(f"{variant}{contract}", kind)}
        for variant in ("Live", "Reference")
    )

    # The reference router keeps the sessions itself and has two managers instead of three.
    assert {signature for signature in live - reference if "setManagers" not in signature} == set()


def test_consumers_get_exactly_the_reference_interface(project: Any) -> None:
    found = {entry.selector: entry for entry in project.IDtnAi.contract_type.methods}

    assert set(found) == set(CONSUMERS)


@pytest.mark.parametrize("artifact", ["LiveRouter", "ReferenceRouter"])
def test_the_fields_of_a_request(artifact: str) -> None:
    routing = [
        "trustNamespaceIds",
        "trustedNodeIds",
        "redundancy",
        "confidenceLevel",
        "aggregationType",
    ]
    request = [
        "call",
        "extraParams",
        "calltype",
        "feePerByteReq",
        "feePerByteRes",
        "totalFeePerRes",
    ]
    callback = ["success", "failure", "target"]
    response = ["status", "message", "response", "nodeId", "timestamp"]

    (record,) = function(artifact, "getRequest")["outputs"]
    asked = function(artifact, "request")["inputs"]

    assert fields(record) == [
        "sessionId",
        "user",
        "completed",
        "modelId",
        ("routing", routing),
        ("request", request),
        ("callback", callback),
        "callbackGas",
        "responseCount",
        ("finalResponse", response),
    ]
    assert [fields(struct) for struct in asked[2:5]] == [routing, request, callback]


@pytest.mark.parametrize("artifact", ["LiveNodeManager", "ReferenceNodeManager"])
def test_the_fields_of_a_node(artifact: str) -> None:
    (node,) = function(artifact, "getNode")["outputs"]

    assert fields(node) == [
        "owner",
        "staker",
        "worker",
        "trustNamespaces",
        "trustNamespaceExpirations",
        "nodeNamespaceId",
        "isActive",
        "stakedAmount",
        "id",
    ]


@pytest.mark.parametrize("artifact", ["LiveSessionManager", "ReferenceRouter"])
def test_the_fields_of_a_session(artifact: str) -> None:
    (session,) = function(artifact, "getSessionById")["outputs"]

    assert fields(session) == ["owner", "balance"]


def test_the_fields_of_a_model_and_its_api() -> None:
    (model,) = function("ModelManager", "getModelConfig")["outputs"]
    (api,) = function("ModelManager", "getModelAPI")["outputs"]

    assert fields(model) == ["modelNamespaceId", "modelId", "modelApiId", "modelName"]
    assert fields(api) == ["apiNamespaceId", "apiName", "apiId", "specs", "docs"]


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("CallType", ["IPFS", "DIRECT"]),
        ("AggregationType", ["ANY", "ALL", "SELECT_BEST", "VOTE", "RANK"]),
        ("ResponseStatus", ["NA", "SUCCESS", "FAILURE"]),
    ],
)
def test_the_order_of_an_enumeration(name: str, members: list[str]) -> None:
    # The ABI has enums as numbers only: compare their order with the source.
    found = re.search(rf"enum {name} {{([^}}]*)}}", INTERFACE.read_text())

    assert found is not None
    assert re.findall(r"\w+", found[1]) == members


def test_the_numbers_of_the_enumerations_in_python() -> None:
    assert [(call_type.name, call_type.value) for call_type in CallType] == [
        ("IPFS", 0),
        ("DIRECT", 1),
    ]
    assert [status.value for status in Status] == [0, 1, 2]
    assert [status.name for status in Status][1:] == ["SUCCESS", "FAILURE"]
    assert Aggregation.ANY == 0


@each_interface
def test_python_calls_functions_by_their_selectors(interface: str) -> None:
    pinned = FUNCTIONS[interface]
    used = abi.members(getattr(abi, interface), Function).values()

    assert used
    for member in used:
        selector, outputs, _ = pinned[member.signature]
        assert (member.selector.hex(), member.output) == (selector, outputs), member.signature


@each_interface
def test_python_has_every_function(interface: str) -> None:
    used = abi.members(getattr(abi, interface), Function).values()

    assert {member.signature for member in used} == set(FUNCTIONS[interface])


@each_interface
def test_python_finds_events_by_their_topics(interface: str) -> None:
    used = abi.members(getattr(abi, interface), Event).values()

    assert {member.declaration: member.topic[2:] for member in used} == EVENTS[interface]


def test_python_knows_errors_by_their_selectors() -> None:
    used = abi.members(SessionManager, Error).values()
    found = {member.declaration: member.selector.hex() for member in used}
    assert found == {**ERRORS, **REFERENCE_ERRORS}

    of_router = {error.declaration for error in abi.members(abi.Router, Error).values()}
    assert of_router == REFERENCE_ROUTER_ERRORS
    (of_nodes,) = abi.members(abi.NodeManager, Error).values()
    assert of_nodes.declaration in errors("ReferenceNodeManager")


def python_members(kind: type) -> Iterator[tuple[str, Any]]:
    for artifact, interface in ARTIFACTS.items():
        for member in abi.members(getattr(abi, interface), kind).values():
            yield artifact, member


@pytest.mark.parametrize(
    ("kind", "of_artifact", "key"),
    [
        (Function, functions, lambda member: member.signature),
        (Event, events, lambda member: member.declaration),
    ],
    ids=["functions", "events"],
)
def test_what_python_uses_is_in_the_shipped_artifacts(
    kind: type, of_artifact: Callable[[str], Mapping[str, Any]], key: Callable[[Any], str]
) -> None:
    missing = [
        f"{artifact}.{key(member)}"
        for artifact, member in python_members(kind)
        if key(member) not in of_artifact(artifact)
    ]

    assert not missing


def test_what_python_decodes_is_what_the_artifacts_return() -> None:
    differing = [
        f"{artifact}.{member.signature}"
        for artifact, member in python_members(Function)
        if functions(artifact)[member.signature][1] != member.output
    ]

    assert not differing


def test_python_calls_the_fee_token_as_the_test_tokens_are() -> None:
    for member in abi.members(abi.ERC20, Function).values():
        selector, outputs, _ = functions("TestUSDT")[member.signature]
        assert (member.selector.hex(), member.output) == (selector, outputs)
        assert member.signature in functions("TestToken")

    (refused,) = abi.members(abi.ERC20, Error).values()
    assert refused.declaration in errors("TestToken")
