// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Fee} from "@dtn/network/reference/Fee.sol";
import {Numbers} from "./Numbers.sol";
import {VM} from "./Symbols.sol";

/// @title Proofs of the fees of the reference variant, for all sizes and prices
/// @notice About the source of the shipped router, as in `Ledger.sol`, and for the same reason.
contract ReferenceFee is Numbers {
    /// @notice Sizes that a node states, and prices of a request.
    struct Case {
        uint256 requestSize;
        uint256 feePerByteReq;
        uint256 responseSize;
        uint256 feePerByteRes;
        uint256 maxFee;
    }

    /// @notice The fee is sizes times prices, up to the maximum fee.
    function check_an_answer_costs_its_bytes(Case memory c) external pure {
        (bool fits, uint256 fee, uint256 charge) = _charged(c);
        VM.assume(fits);
        assert(_isRight(charge, fee, c.maxFee));
    }

    /// @notice Sizes whose fee overflows 256 bits cost the maximum fee.
    function check_sizes_that_overflow_cost_the_maximum(Case memory c) external pure {
        (bool fits, , uint256 charge) = _charged(c);
        VM.assume(!fits);
        assert(_isRight(charge, type(uint256).max, c.maxFee));
    }

    function _isRight(
        uint256 charge,
        uint256 fee,
        uint256 most
    ) internal pure virtual returns (bool) {
        return charge == _least(fee, most);
    }

    /// @dev Whether the fee fits into 256 bits, the fee, and the charge.
    function _charged(Case memory c) private pure returns (bool fits, uint256 fee, uint256 charge) {
        (bool first, uint256 asked) = _product(c.requestSize, c.feePerByteReq);
        (bool second, uint256 answered) = _product(c.responseSize, c.feePerByteRes);
        (bool both, uint256 sum) = _sum(_saturated(first, asked), _saturated(second, answered));
        _minimum(_saturated(both, sum), c.maxFee);
        fits = _bit(first) & _bit(second) & _bit(both) == 1;
        unchecked {
            fee = asked + answered;
        }
        charge = Fee.forAnswer(
            c.requestSize,
            c.feePerByteReq,
            c.responseSize,
            c.feePerByteRes,
            c.maxFee
        );
    }

    /// @dev The value, or the maximum of 256 bits if it does not fit. Tells the solver which products
    ///      OpenZeppelin's saturating arithmetic uses.
    function _saturated(bool fits, uint256 value) private pure returns (uint256) {
        uint256 mask;
        assembly {
            mask := sub(0, fits)
        }
        _selects(fits, value);
        _selects(fits, (value & mask) ^ type(uint256).max);
        return value | ~mask;
    }
}
