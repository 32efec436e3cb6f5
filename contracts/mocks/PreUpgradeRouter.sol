// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ISessionLedger} from "../network/interfaces/ISessionLedger.sol";
import {LiveRouter} from "../network/live/LiveRouter.sol";

/// @title Live router before its upgrade, as on Sepolia, for tests
/// @notice It does not name its managers. The cap limits only the fee for the response, and a
///         FAILURE is charged at the full rates.
/// @dev A function that does not exist reverts without data, and so do those that it lacks.
contract PreUpgradeRouter is LiveRouter {
    /// @inheritdoc LiveRouter
    function sessionManager() external pure override returns (address) {
        revert();
    }

    /// @inheritdoc LiveRouter
    function modelManager() external pure override returns (address) {
        revert();
    }

    /// @inheritdoc LiveRouter
    function nodeManager() external pure override returns (address) {
        revert();
    }

    function _charge(
        ISessionLedger sessions,
        Request storage pending,
        ResponseStatus,
        uint256 requestSize,
        uint256 responseSize
    ) internal override {
        DtnRequest storage price = pending.request;
        uint256 responseFee = responseSize * price.feePerByteRes;
        uint256 fee =
            requestSize * price.feePerByteReq + Math.min(responseFee, price.totalFeePerRes);
        sessions.chargeUserSession(pending.sessionId, fee, msg.sender);
    }
}
