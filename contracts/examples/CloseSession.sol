// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Close of a session for a refund
/// @notice The network refunds the contract that started the session. Only the owner can withdraw
///         the refund.
contract CloseSession is Example {
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
        // In one transaction: anybody else could start a session with a deposit that is waiting.
        IERC20 token = IERC20(ai.feeToken());
        token.safeTransfer(ai.feeTarget(), token.balanceOf(address(this)));
        sessionId = ai.startUserSession();
    }

    /// @notice Closes the session, if there is one. The refund goes to this contract.
    /// @dev Wait for the responses first: pending requests of a closed session are never answered.
    function close() external onlyOwner {
        uint256 closing = sessionId;
        // Closing a session twice reverts.
        if (closing == 0) return;
        // Before the call, so that reentrant calls do not see an open session.
        sessionId = 0;
        ai.closeUserSession(closing);
    }
}
