"""ABI of the network's contracts: the functions, events and errors that this package uses.

Selectors and topics are those of the live contracts; a test compares them with the compiled
artifacts. Structs are tuples, in the field order of the Solidity interfaces in ``contracts/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ape_dtn.types.abi import Error, Event, Function, TextView

_ROUTING = "(bytes32[],bytes32[],uint32,uint8,uint8)"
_REQUEST = "(bytes,bytes,uint8,uint256,uint256,uint256)"
_CALLBACK = "(bytes4,bytes4,address)"
_RESPONSE = "(uint8,string,bytes,bytes32,uint256)"
_SESSION = "(address,uint256)"
_NODE = "(address,address,address,bytes32[],uint256[],bytes32,bool,uint256,bytes32)"


class Router:
    """``contracts/network/interfaces/IRouter.sol`` and ``contracts/IDtnAi.sol``."""

    start_user_session = Function("startUserSession()", "uint256")
    close_user_session = Function("closeUserSession(uint256)")
    request = Function(
        f"request(uint256,bytes32,{_ROUTING},{_REQUEST},{_CALLBACK},address,uint256)", "bytes32"
    )
    fetch_response = Function("fetchResponse(bytes32)", "uint8,string,bytes")
    respond_to_request = Function(
        "respondToRequest(bytes32,uint8,string,bytes,bytes32,uint256,uint256)"
    )
    model_id = Function("modelId(string)", "bytes32")
    fee_token = Function("feeToken()", "address")
    fee_target = Function("feeTarget()", "address")
    get_request = Function(
        "getRequest(bytes32)",
        f"(uint256,address,bool,bytes32,{_ROUTING},{_REQUEST},{_CALLBACK},"
        f"uint256,uint256,{_RESPONSE})",
    )
    get_pending_requests_length = Function("getPendingRequestsLength()", "uint256")
    get_pending_requests = Function("getPendingRequests(uint256,uint256)", "bytes32[]")
    get_completed_requests_length = Function("getCompletedRequestsLength()", "uint256")
    get_completed_requests = Function("getCompletedRequests(uint256,uint256)", "bytes32[]")
    session_manager = Function("sessionManager()", "address")
    model_manager = Function("modelManager()", "address")
    node_manager = Function("nodeManager()", "address")

    request_created = Event(
        "RequestCreated(bytes32 indexed requestId, uint256 indexed sessionId, address indexed user)"
    )
    response_received = Event(
        "ResponseReceived(bytes32 indexed requestId, bytes32 indexed nodeId, uint8 status)"
    )
    request_completed = Event("RequestCompleted(bytes32 indexed requestId, uint8 status)")
    success_callback_failed = Event("SuccessCallbackFailed(bytes32 indexed requestId, bytes data)")
    failure_callback_failed = Event("FailureCallbackFailed(bytes32 indexed requestId, bytes data)")

    # Only in the reference variant.
    callback_target_not_allowed = Error("CallbackTargetNotAllowed(address target)")
    fee_token_mismatch = Error("FeeTokenMismatch(address token)")
    insufficient_gas_for_callback = Error("InsufficientGasForCallback(uint256 callbackGas)")
    invalid_range = Error("InvalidRange(uint256 from, uint256 to, uint256 count)")
    request_not_found = Error("RequestNotFound(bytes32 requestId)")


class SessionManager:
    """``contracts/network/interfaces/ISessionManager.sol``."""

    get_session_by_id = Function("getSessionById(uint256)", _SESSION)
    get_session_balance = Function("getSessionBalance(uint256)", "uint256")
    get_user_session_ids = Function("getUserSessionIds(address)", "uint256[]")
    get_user_sessions = Function("getUserSessions(address)", f"{_SESSION}[]")
    get_fee_token = Function("getFeeToken()", "address")
    get_fee_target = Function("getFeeTarget()", "address")

    session_started = Event(
        "SessionStarted(uint256 indexed sessionId, address indexed owner, uint256 balance)"
    )
    session_charged = Event(
        "SessionCharged(uint256 indexed sessionId, uint256 amount, address indexed to)"
    )
    session_closed = Event("SessionClosed(uint256 indexed sessionId, uint256 remainingBalance)")

    insufficient_balance = Error(
        "InsufficientBalance(uint256 sessionId, uint256 required, uint256 available)"
    )
    invalid_session = Error("InvalidSession(uint256 sessionId)")
    unauthorized = Error("Unauthorized(address caller, address owner)")
    invalid_amount = Error("InvalidAmount()")
    # Only in the reference variant.
    session_not_found = Error("SessionNotFound(uint256 sessionId)")
    insufficient_funds = Error(
        "InsufficientFunds(uint256 sessionId, uint256 required, uint256 available)"
    )
    session_already_closed = Error("SessionAlreadyClosed(uint256 sessionId)")


class ModelManager:
    """``contracts/network/interfaces/IModelManager.sol``."""

    model_exists = Function("modelExists(bytes32)", "bool")
    get_model_config = Function("getModelConfig(bytes32)", "(bytes32,bytes32,bytes32,string)")
    get_model_api = Function("getModelAPI(bytes32)", "(bytes32,string,bytes32,string,string)")
    register_model_api = Function("registerModelAPI(string,string,string,string)")
    register_model = Function("registerModel(string,string,string)", "bytes32")

    model_api_registered = Event("ModelAPIRegistered(string namespace, string api, string docs)")
    model_registered = Event("ModelRegistered(string namespace, string modelName, bytes32 modelId)")


class NodeManager:
    """``contracts/network/interfaces/INodeManager.sol``."""

    get_node = Function("getNode(bytes32)", _NODE)
    get_node_models = Function("getNodeModels(bytes32)", "bytes32[]")
    get_nodes_serving_model = Function("getNodesServingModel(bytes32)", "bytes32[]")
    node_serves_model = Function("nodeServesModel(bytes32,bytes32)", "bool")
    node_has_trust_namespace = Function("nodeHasTrustNamespace(bytes32,bytes32)", "bool")
    node_trust_namespace_expiration = Function(
        "nodeTrustNamespaceExpiration(bytes32,bytes32)", "uint256"
    )
    register_user = Function("registerUser(string,address)")
    register_node = Function("registerNode(string,string,address)")
    set_node_models = Function("setNodeModels(bytes32,bytes32[])")
    remove_models_from_node = Function("removeModelsFromNode(bytes32,bytes32[])")
    set_node_status = Function("setNodeStatus(bytes32,bool)")

    node_registered = Event(
        "NodeRegistered(bytes32 indexed nodeId, address indexed staker, address worker)"
    )
    node_models_updated = Event("NodeModelsUpdated(bytes32 indexed nodeId, bytes32[] modelIds)")
    node_status_updated = Event("NodeStatusUpdated(bytes32 indexed nodeId, bool isActive)")

    # Only in the reference variant.
    invalid_username = Error("InvalidUsername(string username)")


class ERC20:
    """The fee token. Functions that change state have no output here, because USDT returns none."""

    symbol = TextView("symbol()")
    decimals = Function("decimals()", "uint8")
    balance_of = Function("balanceOf(address)", "uint256")
    allowance = Function("allowance(address,address)", "uint256")
    transfer = Function("transfer(address,uint256)")
    approve = Function("approve(address,uint256)")

    transferred = Event("Transfer(address indexed from, address indexed to, uint256 value)")

    # ERC-6093: the error of OpenZeppelin's tokens.
    insufficient_balance = Error(
        "ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)"
    )


class TokenRefusals:
    """Errors and views by which tokens say that they are paused, or that an account is blocked."""

    enforced_pause = Error("EnforcedPause()")  # OpenZeppelin
    paused_error = Error("Paused()")
    contract_paused = Error("ContractPaused()")  # PYUSD
    token_paused = Error("TokenPaused()")
    transfer_paused = Error("TransferPaused()")
    address_frozen = Error("AddressFrozen()")  # PYUSD
    account_frozen = Error("AccountFrozen(address account)")
    account_is_frozen = Error("AccountIsFrozen(address account)")
    erc20_blocked = Error("ERC20Blocked(address account)")  # OpenZeppelin
    user_restricted = Error("UserRestricted(address account)")  # OpenZeppelin
    account_blocked = Error("AccountBlocked(address account)")
    blacklisted = Error("Blacklisted(address account)")
    blocklisted = Error("Blocklisted(address account)")

    is_blacklisted = Function("isBlacklisted(address)", "bool")  # USDC
    is_black_listed = Function("isBlackListed(address)", "bool")  # USDT on Ethereum
    is_blocked = Function("isBlocked(address)", "bool")  # USDT0
    is_frozen = Function("isFrozen(address)", "bool")  # PYUSD
    blocked = Function("blocked(address)", "bool")  # OpenZeppelin
    paused = Function("paused()", "bool")  # USDC, USDT, OpenZeppelin


class Client:
    """``contracts/client/DtnClient.sol``. The router is the first argument of most functions."""

    start = Function("start(address,uint256)", "uint256")
    start_with_permit = Function(
        "startWithPermit(address,uint256,uint256,uint8,bytes32,bytes32)", "uint256"
    )
    start_with_authorization = Function(
        "startWithAuthorization(address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        "uint256",
    )
    start_from_here = Function("startFromHere(address,uint256)", "uint256")
    request = Function(
        f"request(address,uint256,bytes32,{_ROUTING},{_REQUEST},{_CALLBACK},uint256)", "bytes32"
    )
    request_many = Function(
        f"requestMany(address,uint256,bytes32,{_ROUTING},{_REQUEST}[],{_CALLBACK},uint256)",
        "bytes32[]",
    )
    close = Function("close(address,uint256)")
    close_many = Function("closeMany(address,uint256[])")
    close_to = Function("closeTo(address,uint256[],address)")
    sweep = Function("sweep(address)")
    sweep_to = Function("sweepTo(address,address,uint256)")
    execute = Function("execute(address,uint256,bytes)", "bytes")
    answers = Function("answers(bytes32[])", "(uint8,string,bytes)[]")
    owner = Function("owner()", "address")
    ai = Function("ai()", "address")
    request_count = Function("requestCount()", "uint64")
    client_of = Function("clientOf(address)", "address")
    implementation = Function("implementation()", "address")
    deployer = Function("DEPLOYER()", "address")

    not_owner = Error("NotOwner(address caller)")
    session_short = Error("SessionShort(uint256 sessionId, uint256 amount, uint256 balance)")
    wrong_value = Error("WrongValue(uint256 required, uint256 sent)")
    permit_failed = Error("PermitFailed(bytes reason)")
    no_recipient = Error("NoRecipient()")
    too_little_gas = Error("TooLittleGas()")
    not_a_router = Error("NotARouter(address router)")
    reentrant_call = Error("ReentrancyGuardReentrantCall()")
    token_failed = Error("SafeERC20FailedOperation(address token)")


class Delegate:
    """``contracts/client/DtnDelegate.sol``, the code of a delegated account (EIP-7702)."""

    start = Client.start
    request = Client.request
    request_many = Client.request_many
    close = Client.close
    close_many = Client.close_many
    owner = Client.owner
    request_count = Client.request_count
    is_valid_signature = Function("isValidSignature(bytes32,bytes)", "bytes4")

    not_owner = Client.not_owner
    session_short = Client.session_short
    wrong_value = Client.wrong_value
    reentrant_call = Client.reentrant_call
    token_failed = Client.token_failed


def members(interface: type, kind: type) -> Mapping[str, Any]:
    """Returns the functions, events or errors of a class above, by attribute name."""
    return {name: value for name, value in vars(interface).items() if isinstance(value, kind)}
