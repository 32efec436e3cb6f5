// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Example} from "./Example.sol";

/// @title Start of a session, with an error of its own
/// @notice The error holds the revert data of the network.
contract SafeStart is Example {
    using SafeERC20 for IERC20;

    /// @notice The network did not start a session.
    /// @param reason Its revert data, for example of `InvalidAmount()`.
    error StartFailed(bytes reason);

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
        try ai.startUserSession() returns (uint256 started) {
            sessionId = started;
        } catch (bytes memory reason) {
            // Without a revert the deposit would stay unclaimed, for anybody to take.
            revert StartFailed(reason);
        }
    }

    /// @notice Closes the session. The refund goes to this contract.
    function close() external onlyOwner {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }
}
