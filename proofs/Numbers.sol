// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {VM} from "./Symbols.sol";

/// @title What is calculated without making paths of it, and what a solver has to be told of it
abstract contract Numbers {
    /// @dev One for true. Of bits, other than of conditions, halmos makes no paths.
    function _bit(bool condition) internal pure returns (uint256 bit) {
        assembly {
            bit := condition
        }
    }

    /// @dev Tells the solver, to which products are at first unknown functions, that one times a
    ///      value is the value, and nothing times a value is nothing.
    function _selects(bool whether, uint256 value) internal pure {
        uint256 product;
        uint256 selected;
        assembly {
            product := mul(value, whether)
            selected := and(value, sub(0, whether))
        }
        VM.assume(product == selected);
    }

    /// @dev Tells it what `Math.min` multiplies.
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
