// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title What an answer costs
library Fee {
    using Math for uint256;

    /// @dev So much for each byte of the request and of the response, and at most the cap. What is
    ///      too much to be counted is above the cap in any case.
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
