// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Replacing a session by a fresh one
/// @notice A session cannot be topped up. To add to it, close it, and start another from the refund
///         and the addition.
contract RestartSession is Example {
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

    /// @notice Closes the session, if there is one, and starts another from all tokens here.
    /// @dev Wait for the answers first: requests of a closed session are never answered.
    function start() external onlyOwner {
        if (sessionId != 0) ai.closeUserSession(sessionId);
        // In one transaction: a deposit belongs to whoever starts a session next.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }

    /// @notice Closes the session. What is left of it comes back here.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
