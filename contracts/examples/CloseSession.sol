// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Closing a session for a refund
/// @notice The network refunds the contract that started the session. From here the owner, and
///         nobody else, can `withdraw`.
contract CloseSession is Example {
    using SafeERC20 for IERC20;

    /// @notice Settles who is asked, and at what price.
    /// @param router The router of the network.
    /// @param model The model's full name.
    /// @param node The node's full name.
    /// @param feePerByte_ Fee for each byte, in units of the fee token.
    /// @param mostItMayCost_ The most that one answer may cost, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 mostItMayCost_
    ) Example(router, model, node, feePerByte_, mostItMayCost_) {}

    /// @notice Starts a session from all tokens that are here.
    function start() external onlyOwner whenNoSession {
        // In one transaction: a deposit belongs to whoever starts a session next.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }

    /// @notice Closes the session, if there is one. What is left of it comes back here.
    /// @dev Wait for the answers first: requests of a closed session are never answered.
    function close() external onlyOwner {
        uint256 closing = sessionId;
        // The network reverts when a session is closed twice.
        if (closing == 0) return;
        // Forgotten before the call, so that nothing called from there finds it still open.
        sessionId = 0;
        ai.closeUserSession(closing);
    }
}
