// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {LiveSessionManager} from "../network/live/LiveSessionManager.sol";

/// @title Live session manager before its upgrade, as on Sepolia, for tests
/// @notice A charge above the balance reverts. There is no `getSessionBalance` and no `sweep`.
/// @dev A function that does not exist reverts without data, and so do those that it lacks.
contract PreUpgradeSessionManager is LiveSessionManager {
    /// @inheritdoc LiveSessionManager
    function sweep(IERC20, address) external pure override {
        revert();
    }

    /// @inheritdoc LiveSessionManager
    function getSessionBalance(uint256) external pure override returns (uint256) {
        revert();
    }

    function _chargeFor(
        uint256 sessionId,
        uint256 fee,
        uint256 balance
    ) internal pure override returns (uint256) {
        if (fee > balance) revert InsufficientBalance(sessionId, fee, balance);
        return fee;
    }
}
