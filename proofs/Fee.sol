// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Fee} from "@dtn/network/reference/Fee.sol";
import {Numbers} from "./Numbers.sol";
import {VM} from "./Symbols.sol";

/// @title What the reference router charges for an answer, for all sizes and prices
/// @notice It is of the sources of the shipped router, as `Ledger.sol` is, and for the same reason.
contract ReferenceFee is Numbers {
    /// @notice The sizes that a node tells, and the prices that a request names.
    struct Answered {
        uint256 asked;
        uint256 feePerByteAsked;
        uint256 answered;
        uint256 feePerByteAnswered;
        uint256 most;
    }

    /// @notice An answer costs its bytes at their prices, up to what the request may cost.
    function check_an_answer_costs_its_bytes(Answered memory its) external pure {
        (bool fits, uint256 fee, uint256 charge) = _charged(its);
        VM.assume(fits);
        assert(_isRight(charge, fee, its.most));
    }

    /// @notice Sizes whose fee 256 bits are not enough for cost what the request may cost.
    function check_sizes_beyond_all_measure_cost_the_most(Answered memory its) external pure {
        (bool fits, , uint256 charge) = _charged(its);
        VM.assume(!fits);
        assert(_isRight(charge, type(uint256).max, its.most));
    }

    function _isRight(
        uint256 charge,
        uint256 fee,
        uint256 most
    ) internal pure virtual returns (bool) {
        return charge == _least(fee, most);
    }

    /// @dev Whether 256 bits are enough for the fee, the fee, and what is charged.
    function _charged(
        Answered memory its
    ) private pure returns (bool fits, uint256 fee, uint256 charge) {
        (bool first, uint256 asked) = _product(its.asked, its.feePerByteAsked);
        (bool second, uint256 answered) = _product(its.answered, its.feePerByteAnswered);
        (bool both, uint256 sum) = _sum(_saturated(first, asked), _saturated(second, answered));
        _minimum(_saturated(both, sum), its.most);
        fits = _bit(first) & _bit(second) & _bit(both) == 1;
        unchecked {
            fee = asked + answered;
        }
        charge = Fee.forAnswer(
            its.asked,
            its.feePerByteAsked,
            its.answered,
            its.feePerByteAnswered,
            its.most
        );
    }

    /// @dev The value, or the most there is where it does not fit; and tells the solver what OpenZeppelin
    ///      multiplies for it.
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
