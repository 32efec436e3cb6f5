// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {ISessionManager} from "../network/interfaces/ISessionManager.sol";

/// @title Sessions that are funded and started in one transaction
/// @notice Base of the client and of the EIP-7702 delegate, which only their owner may call. A
///         deposit is not tied to its sender: where an account transfers and starts in two
///         transactions, a front-runner can claim the deposit in between.
/// @dev The router is an argument of each call: an owner can have sessions on several networks, and
///      each signed call names the one that gets the money. The session manager, the token and the
///      fee target are read from the router each time, because its owner can replace them. A
///      session of a replaced manager can be neither used nor closed through the router.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract AtomicSessions is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice The caller is not the owner.
    /// @param caller The caller.
    error NotOwner(address caller);

    /// @notice The new session holds less than was paid, as with a token that takes a fee.
    /// @param sessionId The session.
    /// @param amount Amount paid, in units of the fee token.
    /// @param balance Balance of the session, in units of the fee token.
    error SessionShort(uint256 sessionId, uint256 amount, uint256 balance);

    /// @notice The value of the call is not one wei per unit of callback gas.
    /// @param required Required value, in wei.
    /// @param sent Value of the call, in wei.
    error WrongValue(uint256 required, uint256 sent);

    /// @notice Restricts a function to the owner, also during calls that the owner makes.
    modifier onlyOwner() {
        if (msg.sender != owner()) revert NotOwner(msg.sender);
        _;
    }

    /// @notice Transfers tokens of the owner to the network and starts a session with them.
    /// @dev Unclaimed deposits of others become part of the session: it can hold more than `amount`.
    ///      Reverts when it holds less.
    /// @param router Router of the network.
    /// @param amount Amount, in units of the fee token.
    /// @return sessionId New session, owned by this address.
    function start(
        IDtnAi router,
        uint256 amount
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        return _start(router, owner(), amount);
    }

    /// @notice Sends a request to a model, paid by a session that was started here.
    /// @dev `msg.value` must be exactly `callbackGas` wei: the network requires and keeps it.
    /// @param router Router of the network.
    /// @param sessionId The session.
    /// @param modelId The model.
    /// @param routing Which nodes may respond.
    /// @param dtnRequest Call of the model, and its fees.
    /// @param callback What the router calls with the response.
    /// @param callbackGas Gas for the callback.
    /// @return requestId The request.
    function request(
        IDtnAi router,
        uint256 sessionId,
        bytes32 modelId,
        IDtnAi.DtnRouting calldata routing,
        IDtnAi.DtnRequest calldata dtnRequest,
        IDtnAi.CallBack calldata callback,
        uint256 callbackGas
    ) external payable onlyOwner nonReentrant returns (bytes32 requestId) {
        _checkValue(callbackGas);
        return
            router.request{value: callbackGas}(
                sessionId,
                modelId,
                routing,
                dtnRequest,
                callback,
                address(_users(router, 1)),
                callbackGas
            );
    }

    /// @notice Sends several requests to a model: all of them, or none.
    /// @dev As `request`, with `callbackGas` wei for each. All requests have different ids.
    /// @param router Router of the network.
    /// @param sessionId The session.
    /// @param modelId The model.
    /// @param routing Which nodes may respond to each request.
    /// @param dtnRequests Calls of the model, and their fees.
    /// @param callback What the router calls with each response.
    /// @param callbackGas Gas for each callback.
    /// @return requestIds The requests, in the order of `dtnRequests`.
    function requestMany(
        IDtnAi router,
        uint256 sessionId,
        bytes32 modelId,
        IDtnAi.DtnRouting calldata routing,
        IDtnAi.DtnRequest[] calldata dtnRequests,
        IDtnAi.CallBack calldata callback,
        uint256 callbackGas
    ) external payable onlyOwner nonReentrant returns (bytes32[] memory requestIds) {
        _checkValue(callbackGas * dtnRequests.length);
        requestIds = new bytes32[](dtnRequests.length);
        uint160 users = _users(router, dtnRequests.length);
        for (uint256 i = 0; i < dtnRequests.length; ++i) {
            requestIds[i] = router.request{value: callbackGas}(
                sessionId,
                modelId,
                routing,
                dtnRequests[i],
                callback,
                address(users + uint160(i)),
                callbackGas
            );
        }
    }

    /// @notice Closes a session that was started here and refunds its balance to the owner.
    /// @dev Pending requests of a closed session are never answered.
    /// @param router Router of the network.
    /// @param sessionId The session.
    function close(IDtnAi router, uint256 sessionId) external onlyOwner nonReentrant {
        uint256[] memory sessionIds = new uint256[](1);
        sessionIds[0] = sessionId;
        _close(router, sessionIds);
    }

    /// @notice Closes several sessions: all of them, or none.
    /// @param router Router of the network.
    /// @param sessionIds The sessions.
    function closeMany(
        IDtnAi router,
        uint256[] calldata sessionIds
    ) external onlyOwner nonReentrant {
        _close(router, sessionIds);
    }

    /// @notice Account that may call, pays for sessions and gets their refunds.
    /// @return The owner.
    function owner() public view virtual returns (address);

    /// @dev Adds requests to the count and returns the count before, over all routers.
    function _count(IDtnAi router, uint64 count) internal virtual returns (uint64 before);

    function _start(
        IDtnAi router,
        address payer,
        uint256 amount
    ) internal returns (uint256 sessionId) {
        IERC20 token = IERC20(router.feeToken());
        address target = router.feeTarget();
        if (payer == address(this)) token.safeTransfer(target, amount);
        else token.safeTransferFrom(payer, target, amount);
        sessionId = router.startUserSession();
        uint256 balance = ISessionManager(IRouter(address(router)).sessionManager())
            .getSessionBalance(sessionId);
        if (balance < amount) revert SessionShort(sessionId, amount, balance);
    }

    function _close(IDtnAi router, uint256[] memory sessionIds) internal virtual {
        for (uint256 i = 0; i < sessionIds.length; ++i) router.closeUserSession(sessionIds[i]);
    }

    function _checkValue(uint256 required) private view {
        if (msg.value != required) revert WrongValue(required, msg.value);
    }

    /// @dev User of the first of several requests: the first 12 bytes of the owner, followed by the
    ///      number of the request. The live network makes a request id of block time, session, user
    ///      and caller, of which only the user differs within a batch.
    function _users(IDtnAi router, uint256 count) private returns (uint160 first) {
        return (uint160(owner()) & ~uint160(type(uint64).max)) | _count(router, uint64(count));
    }
}
