// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {IRouter} from "../network/interfaces/IRouter.sol";
import {ISessionManager} from "../network/interfaces/ISessionManager.sol";

/// @title Sessions that nobody can take: each is paid and started in one transaction
/// @notice What the client of an account and the EIP-7702 delegate have in common: one owner, who
///         alone may call. The network credits a deposit to whoever starts a session next, so that
///         an account's transfer and start, which are two transactions, leave a gap for thieves.
/// @dev The router is an argument of each call, never kept: an owner may have sessions on several,
///      and what was signed then says by itself where the money goes. The session manager, the
///      token and the fee target are read from the router each time, which can replace them. A
///      session of a replaced manager can be neither used nor closed through the router.
abstract contract AtomicSessions is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Only the owner may call this.
    /// @param caller Who called.
    error NotOwner(address caller);

    /// @notice The new session holds less than was paid for it, as with a token that takes a fee.
    /// @param sessionId The session.
    /// @param amount What was paid, in units of the fee token.
    /// @param balance What the session holds, in units of the fee token.
    error SessionShort(uint256 sessionId, uint256 amount, uint256 balance);

    /// @notice The call carries other than one wei for each unit of callback gas.
    /// @param required What it has to carry, in wei.
    /// @param sent What it carries, in wei.
    error WrongValue(uint256 required, uint256 sent);

    /// @notice Lets only the owner in, also while a call of the owner is being made.
    modifier onlyOwner() {
        if (msg.sender != owner()) revert NotOwner(msg.sender);
        _;
    }

    /// @notice Pays the owner's tokens to the network and starts a session with them.
    /// @dev Deposits that nobody has started a session with become part of it, so that it can hold
    ///      more than `amount`, and never less: then everything is reverted.
    /// @param router The router of the network.
    /// @param amount How much is paid, in units of the fee token.
    /// @return sessionId The new session, which belongs to this address.
    function start(
        IDtnAi router,
        uint256 amount
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        return _start(router, owner(), amount);
    }

    /// @notice Asks a model, at the expense of a session that was started here.
    /// @dev Send exactly as many wei as `callbackGas`: the network compares the one with the other,
    ///      and keeps them.
    /// @param router The router of the network.
    /// @param sessionId The session.
    /// @param modelId The model.
    /// @param routing Who may answer.
    /// @param dtnRequest What is asked, and the fees.
    /// @param callback What is called with the answer.
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

    /// @notice Asks a model several times at once: all are asked, or none is.
    /// @dev As `request`, with `callbackGas` wei for each. No two of the requests share an id.
    /// @param router The router of the network.
    /// @param sessionId The session.
    /// @param modelId The model.
    /// @param routing Who may answer each of them.
    /// @param dtnRequests What is asked, and the fees.
    /// @param callback What is called with each answer.
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

    /// @notice Closes a session that was started here. What is left of it goes to the owner.
    /// @dev Requests without an answer will never get one after this.
    /// @param router The router of the network.
    /// @param sessionId The session.
    function close(IDtnAi router, uint256 sessionId) external onlyOwner nonReentrant {
        uint256[] memory sessionIds = new uint256[](1);
        sessionIds[0] = sessionId;
        _close(router, sessionIds);
    }

    /// @notice Closes several sessions at once: all of them, or none.
    /// @param router The router of the network.
    /// @param sessionIds The sessions.
    function closeMany(
        IDtnAi router,
        uint256[] calldata sessionIds
    ) external onlyOwner nonReentrant {
        _close(router, sessionIds);
    }

    /// @notice Who alone may call, pays for sessions and gets their refunds.
    /// @return The owner.
    function owner() public view virtual returns (address);

    /// @dev Counts requests to a router as made, and returns how many were made before to any.
    function _count(IDtnAi router, uint64 howMany) internal virtual returns (uint64 before);

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

    /// @dev On whose behalf requests are made, the first of them: the owner's first 12 bytes, and
    ///      the request's number. Of the block's time, the session, the user and the caller, which
    ///      are all that the deployed network makes an id from, only this tells a batch apart.
    function _users(IDtnAi router, uint256 howMany) private returns (uint160 first) {
        return (uint160(owner()) & ~uint160(type(uint64).max)) | _count(router, uint64(howMany));
    }
}
