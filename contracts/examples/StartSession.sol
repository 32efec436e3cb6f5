// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Start of a session
/// @notice A session gets its balance when it starts, and pays for requests until it is closed.
contract StartSession is Example {
    using SafeERC20 for IERC20;

    /// @notice Sets the model, the node and the price.
    /// @param router Router of the network.
    /// @param model Full name of the model.
    /// @param node Full name of the node.
    /// @param feePerByte_ Fee per byte, in units of the fee token.
    /// @param maxCost_ Maximum fee for one response, in units of the fee token.
    constructor(
        address router,
        string memory model,
        string memory node,
        uint256 feePerByte_,
        uint256 maxCost_
    ) Example(router, model, node, feePerByte_, maxCost_) {}

    /// @notice Starts a session with all tokens of this contract.
    function start() external onlyOwner whenNoSession {
        IERC20 token = IERC20(ai.feeToken());
        uint256 amount = token.balanceOf(address(this));
        // `transfer` of USDT returns nothing. Only `safeTransfer` accepts that.
        token.safeTransfer(ai.feeTarget(), amount);
        // In the same transaction: a deposit is not tied to its sender, and anybody else could
        // start a session with it.
        sessionId = ai.startUserSession();
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
