// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {DtnRouter} from "../DtnRouter.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {WithDtnAi} from "../WithDtnAi.sol";
import {AtomicSessions} from "./AtomicSessions.sol";

/// @title Client of one account
/// @notice Owns the sessions of its owner, and holds the owner's tokens only within a transaction.
///         Only the owner can use it, anybody can create it, and it cannot be upgraded.
/// @dev Its address depends only on its owner, on every chain. The implementation is created
///      through the deterministic deployment proxy, with salt 0. Through the same proxy, with the
///      same salt, the client of an owner is created by these 75 bytes:
///
///          610041 3d81600a3d39f3
///          363d3d373d3d3d363d73 <implementation> 5af43d82803e903d91602b57fd5bf3 <owner>
///
///      The first line creates the second, which is OpenZeppelin's clone with the owner as its
///      immutable argument. `clientOf` computes the address. A client whose implementation does not
///      exist yet does nothing, and keeps what is sent to it.
///
///      The inherited `ai` is the router of the latest request, which `answers` reads from. It
///      shares a slot with the number of requests, so storing it costs nothing.
/// @custom:security-contact Report privately, see SECURITY.md
contract DtnClient is WithDtnAi, AtomicSessions {
    using SafeERC20 for IERC20;

    /// @notice Response to a request. Status `NA` and empty while the request is pending.
    /// @param status SUCCESS or FAILURE.
    /// @param message Reason of a failure, as the node gives it.
    /// @param response Encoded output of the model, see `IDtnAi.Response`.
    struct Answer {
        IDtnAi.ResponseStatus status;
        string message;
        bytes response;
    }

    /// @notice Deterministic deployment proxy, which creates all clients.
    address public constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    /// @notice Implementation of all clients.
    address public immutable implementation = address(this);

    /// @notice Number of requests that were made with this client.
    uint64 public requestCount;

    /// @notice The token refused the permit, and the allowance does not cover the amount.
    /// @param reason Revert data of the token.
    error PermitFailed(bytes reason);

    /// @notice The recipient is the zero address.
    error NoRecipient();

    /// @notice The gas did not suffice to read a response.
    error TooLittleGas();

    /// @notice Accepts native currency: a network may return some, and the owner can sweep it.
    receive() external payable {}

    /// @notice Starts a session with a permit of the owner (EIP-2612) in place of an allowance.
    /// @dev Anybody who sees the permit can submit it first. It then reverts here, which is ignored
    ///      when the allowance suffices.
    /// @param router Router of the network.
    /// @param amount Amount of the session and of the permit, in units of the fee token.
    /// @param deadline Last timestamp at which the permit is valid, in seconds.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    /// @return sessionId New session.
    function startWithPermit(
        IDtnAi router,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        address token = router.feeToken();
        try IERC20Permit(token).permit(owner(), address(this), amount, deadline, v, r, s) {} catch (
            bytes memory reason
        ) {
            if (IERC20(token).allowance(owner(), address(this)) < amount) {
                revert PermitFailed(reason);
            }
        }
        return _start(router, owner(), amount);
    }

    /// @notice Starts a session with an authorization of the owner (EIP-3009) to pay this client,
    ///         in place of an allowance.
    /// @dev The token accepts the authorization from its payee alone. The client accepts it from
    ///      its owner alone, because it does not cover the network that the tokens go to.
    /// @param router Router of the network.
    /// @param amount Amount of the session and of the authorization, in units of the fee token.
    /// @param validAfter Timestamp after which the authorization is valid, in seconds.
    /// @param validBefore Timestamp before which the authorization is valid, in seconds.
    /// @param nonce Nonce of the authorization.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    /// @return sessionId New session.
    function startWithAuthorization(
        IDtnAi router,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        IERC3009(router.feeToken()).receiveWithAuthorization(
            owner(),
            address(this),
            amount,
            validAfter,
            validBefore,
            nonce,
            v,
            r,
            s
        );
        return _start(router, address(this), amount);
    }

    /// @notice Starts a session with tokens of this client.
    /// @param router Router of the network.
    /// @param amount Amount, in units of the fee token.
    /// @return sessionId New session.
    function startFromHere(
        IDtnAi router,
        uint256 amount
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        return _start(router, address(this), amount);
    }

    /// @notice Closes sessions and sends the refunds to another address, for example when the token
    ///         blocks the owner.
    /// @param router Router of the network.
    /// @param sessionIds The sessions: all of them are closed, or none.
    /// @param to Recipient; the client itself keeps the refunds.
    function closeTo(
        IDtnAi router,
        uint256[] calldata sessionIds,
        address to
    ) external onlyOwner nonReentrant {
        _closeTo(router, sessionIds, to);
    }

    /// @notice Sends the client's balance of a token to the owner.
    /// @param token The token, zero for native currency.
    function sweep(address token) external onlyOwner nonReentrant {
        uint256 held =
            token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
        _send(token, owner(), held);
    }

    /// @notice Sends tokens of the client to any address.
    /// @param token The token, zero for native currency.
    /// @param to Recipient.
    /// @param amount Amount, in units of the token or in wei.
    function sweepTo(address token, address to, uint256 amount) external onlyOwner nonReentrant {
        _send(token, to, amount);
    }

    /// @notice Calls any contract from this client, for example to return an ERC-721 token that was
    ///         sent to it, or to call functions that a later network has for owners of sessions.
    /// @dev The network can be upgraded, the client cannot.
    /// @param target The contract.
    /// @param value Value of the call in wei, from `msg.value` or the client's balance.
    /// @param data Call data.
    /// @return Data that the contract returned.
    function execute(
        address target,
        uint256 value,
        bytes calldata data
    ) external payable onlyOwner nonReentrant returns (bytes memory) {
        return Address.functionCallWithValue(target, data, value);
    }

    /// @notice Responses to requests on the router `ai`.
    /// @param requestIds The requests.
    /// @return found Their responses, in the same order.
    function answers(bytes32[] calldata requestIds) external view returns (Answer[] memory found) {
        found = new Answer[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; ++i) {
            // A pending request reverts, and must not hide the responses to the others.
            try ai.fetchResponse(requestIds[i]) returns (
                IDtnAi.ResponseStatus status,
                string memory message,
                bytes memory response
            ) {
                found[i] = Answer(status, message, response);
            } catch (bytes memory reason) {
                // Without revert data the call ran out of gas, and the request may be complete.
                if (reason.length == 0) revert TooLittleGas();
            }
        }
    }

    /// @notice Address of an account's client, also before it is created.
    /// @param account The account.
    /// @return The address.
    function clientOf(address account) external view returns (address) {
        return
            Clones.predictDeterministicAddressWithImmutableArgs(
                implementation,
                abi.encodePacked(account),
                bytes32(0),
                DEPLOYER
            );
    }

    /// @inheritdoc AtomicSessions
    /// @dev The implementation itself has no owner.
    function owner() public view override returns (address) {
        if (address(this) == implementation) return address(0);
        return address(bytes20(Clones.fetchCloneArgs(address(this))));
    }

    /// @inheritdoc AtomicSessions
    function _count(IDtnAi router, uint64 count) internal override returns (uint64 before) {
        if (ai != router) setAi(DtnRouter.checked(address(router)));
        before = requestCount;
        requestCount = before + count;
    }

    /// @inheritdoc AtomicSessions
    function _close(IDtnAi router, uint256[] memory sessionIds) internal override {
        _closeTo(router, sessionIds, owner());
    }

    /// @dev The network refunds the session's owner, which is this client. A refund that cannot be
    ///      forwarded reverts everything: if it were caught, a caller could strand the refund here
    ///      by sending too little gas.
    function _closeTo(IDtnAi router, uint256[] memory sessionIds, address to) private {
        IERC20 token = IERC20(router.feeToken());
        uint256 held = token.balanceOf(address(this));
        super._close(router, sessionIds);
        uint256 refund = token.balanceOf(address(this)) - held;
        if (refund != 0) _send(address(token), to, refund);
    }

    function _send(address token, address to, uint256 amount) private {
        if (to == address(0)) revert NoRecipient();
        if (token == address(0)) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }
}
