// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {WithDtnAi} from "../WithDtnAi.sol";
import {AtomicSessions} from "./AtomicSessions.sol";

/// @title The client of one account
/// @notice Holds the sessions of its owner, and no longer than a transaction the owner's tokens.
///         Nobody else can do anything with it, anybody may create it, and nobody can change it.
/// @dev Its address follows from its owner alone, on every chain. One implementation is created
///      through the deterministic deployment proxy, with salt 0. Through the same proxy, with the
///      same salt, each owner's client is created by these 75 bytes:
///
///          610041 3d81600a3d39f3
///          363d3d373d3d3d363d73 <implementation> 5af43d82803e903d91602b57fd5bf3 <owner>
///
///      The first line creates the second, which is OpenZeppelin's clone with the owner as its
///      immutable argument. `clientOf` computes the address. A client whose implementation is not
///      there yet does nothing, and keeps what it is sent.
///
///      `ai`, which is inherited, is the router that was asked last: `answers` reads there. It
///      shares its slot with the count of requests, and so costs nothing to keep.
contract DtnClient is WithDtnAi, AtomicSessions {
    using SafeERC20 for IERC20;

    /// @notice The answer to a request; `NA` and nothing else until it has come.
    /// @param status SUCCESS or FAILURE.
    /// @param message What the node says about a failure.
    /// @param response The encoded answer, see `IDtnAi.Response`.
    struct Answer {
        IDtnAi.ResponseStatus status;
        string message;
        bytes response;
    }

    /// @notice The deterministic deployment proxy, which creates all clients.
    address public constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    /// @notice The code that all clients share.
    address public immutable implementation = address(this);

    /// @notice How many requests were made here.
    uint64 public requestCount;

    /// @notice The token refused the permit, and no allowance makes up for it.
    /// @param reason What the token reverted with.
    error PermitFailed(bytes reason);

    /// @notice Nobody was named to send to.
    error NoRecipient();

    /// @notice There was not enough gas to read an answer.
    error TooLittleGas();

    /// @notice Takes coin: a network may give some back, and the owner can sweep it.
    receive() external payable {}

    /// @notice Starts a session by a signed permit (EIP-2612) of the owner's in place of an
    ///         allowance.
    /// @dev Anybody who sees the permit can use it first. It then reverts here, which is no harm as
    ///      long as the allowance is there.
    /// @param router The router of the network.
    /// @param amount How much is paid and permitted, in units of the fee token.
    /// @param deadline Until when the permit is good, in seconds since 1970.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    /// @return sessionId The new session.
    function startWithPermit(
        IDtnAi router,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        address token = router.feeToken();
        try
            IERC20Permit(token).permit(owner(), address(this), amount, deadline, v, r, s)
        {} catch (bytes memory reason) {
            if (IERC20(token).allowance(owner(), address(this)) < amount) {
                revert PermitFailed(reason);
            }
        }
        return _start(router, owner(), amount);
    }

    /// @notice Starts a session by a signed authorization (EIP-3009) of the owner's to pay this
    ///         client, in place of an allowance.
    /// @dev Nobody else can use it: the token takes it from its payee alone. And the client takes
    ///      it from its owner alone, since it does not say to which network the tokens are to go.
    /// @param router The router of the network.
    /// @param amount How much is paid and authorized, in units of the fee token.
    /// @param validAfter After when it is good, in seconds since 1970.
    /// @param validBefore Before when it is good, in seconds since 1970.
    /// @param nonce What tells it from other authorizations of the owner's.
    /// @param v Part of the signature.
    /// @param r Part of the signature.
    /// @param s Part of the signature.
    /// @return sessionId The new session.
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

    /// @notice Starts a session from tokens that are here.
    /// @param router The router of the network.
    /// @param amount How much is paid, in units of the fee token.
    /// @return sessionId The new session.
    function startFromHere(
        IDtnAi router,
        uint256 amount
    ) external onlyOwner nonReentrant returns (uint256 sessionId) {
        return _start(router, address(this), amount);
    }

    /// @notice Closes sessions, and sends what is left of them to anybody, as when the token has
    ///         blocked the owner's address.
    /// @param router The router of the network.
    /// @param sessionIds The sessions: all of them are closed, or none.
    /// @param to Who gets it; this client, to keep it here.
    function closeTo(
        IDtnAi router,
        uint256[] calldata sessionIds,
        address to
    ) external onlyOwner nonReentrant {
        _closeTo(router, sessionIds, to);
    }

    /// @notice Sends all that is here of a token to the owner.
    /// @param token The token, zero for the chain's coin.
    function sweep(address token) external onlyOwner nonReentrant {
        uint256 held = token == address(0)
            ? address(this).balance
            : IERC20(token).balanceOf(address(this));
        _send(token, owner(), held);
    }

    /// @notice Sends a token that is here to anybody.
    /// @param token The token, zero for the chain's coin.
    /// @param to Who gets it.
    /// @param amount How much, in units of the token or in wei.
    function sweepTo(address token, address to, uint256 amount) external onlyOwner nonReentrant {
        _send(token, to, amount);
    }

    /// @notice Calls any contract as this client: for what is here by mistake, such as an ERC-721,
    ///         and for what the network may one day ask of the owner of a session.
    /// @dev The client cannot be changed, while the contracts of the network can.
    /// @param target The contract.
    /// @param value The wei that go with it, which may be here already.
    /// @param data The call data.
    /// @return What the contract returned.
    function execute(
        address target,
        uint256 value,
        bytes calldata data
    ) external payable onlyOwner nonReentrant returns (bytes memory) {
        return Address.functionCallWithValue(target, data, value);
    }

    /// @notice The answers to requests that `ai` was asked.
    /// @param requestIds The requests.
    /// @return found Their answers, in the same order.
    function answers(bytes32[] calldata requestIds) external view returns (Answer[] memory found) {
        found = new Answer[](requestIds.length);
        for (uint256 i = 0; i < requestIds.length; ++i) {
            // Refused as long as there is no answer, which is not to hide those that are there.
            try ai.fetchResponse(requestIds[i]) returns (
                IDtnAi.ResponseStatus status,
                string memory message,
                bytes memory response
            ) {
                found[i] = Answer(status, message, response);
            } catch (bytes memory reason) {
                // One without a reason has run out of gas, and says nothing about the answer.
                if (reason.length == 0) revert TooLittleGas();
            }
        }
    }

    /// @notice The address of an account's client, whether it was created or not.
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
    /// @dev The implementation itself has none.
    function owner() public view override returns (address) {
        if (address(this) == implementation) return address(0);
        return address(bytes20(Clones.fetchCloneArgs(address(this))));
    }

    /// @inheritdoc AtomicSessions
    function _count(IDtnAi router, uint64 howMany) internal override returns (uint64 before) {
        if (ai != router) setAi(address(router));
        before = requestCount;
        requestCount = before + howMany;
    }

    /// @inheritdoc AtomicSessions
    function _close(IDtnAi router, uint256[] memory sessionIds) internal override {
        _closeTo(router, sessionIds, owner());
    }

    /// @dev The network refunds the session's owner, which is this client. A refund that cannot be
    ///      sent on reverts all: where that were only caught, too little gas could leave it here.
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
