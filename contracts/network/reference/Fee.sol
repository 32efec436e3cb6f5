// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Fee for a response
/// @custom:security-contact Report privately, see SECURITY.md
library Fee {
    using Math for uint256;

    /// @dev Fee per byte of the request and of the response, up to the cap. Overflows saturate, and
    ///      so are above the cap.
    function forAnswer(
        uint256 requestSize,
        uint256 perByteReq,
        uint256 responseSize,
        uint256 perByteRes,
        uint256 cap
    ) internal pure returns (uint256) {
        uint256 forRequest = requestSize.saturatingMul(perByteReq);
        uint256 forResponse = responseSize.saturatingMul(perByteRes);
        return Math.min(forRequest.saturatingAdd(forResponse), cap);
    }
}
