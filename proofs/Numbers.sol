// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {VM} from "./Symbols.sol";

/// @title Arithmetic without branches, and hints for the solver
abstract contract Numbers {
    /// @dev 1 for true. halmos makes paths of conditions, but not of bits.
    function _bit(bool condition) internal pure returns (uint256 bit) {
        assembly {
            bit := condition
        }
    }

    /// @dev Tells the solver, which at first treats products as unknown functions, that 1 times a
    ///      value is the value, and 0 times a value is 0.
    function _selects(bool condition, uint256 value) internal pure {
        uint256 product;
        uint256 selected;
        assembly {
            product := mul(value, condition)
            selected := and(value, sub(0, condition))
        }
        VM.assume(product == selected);
    }

    /// @dev Tells the solver which product `Math.min` uses.
    function _minimum(uint256 a, uint256 b) internal pure {
        _selects(a < b, a ^ b);
    }

    function _sum(uint256 a, uint256 b) internal pure returns (bool fits, uint256 sum) {
        assembly {
            sum := add(a, b)
            fits := iszero(lt(sum, a))
        }
    }

    function _product(uint256 a, uint256 b) internal pure returns (bool fits, uint256 product) {
        assembly {
            product := mul(a, b)
            fits := or(iszero(a), eq(div(product, a), b))
        }
    }

    function _least(uint256 a, uint256 b) internal pure returns (uint256 least) {
        uint256 isLess = _bit(a < b);
        assembly {
            // As a mask, all ones or all zeros.
            least := xor(b, and(xor(a, b), sub(0, isLess)))
        }
    }
}
