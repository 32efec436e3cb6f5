// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title ABI-encoded data without its padding
/// @notice Most of what the ABI encodes is zeros: small numbers, offsets, lengths, and the ends of
///         texts. Kept as code a byte costs 200 gas, whatever it is.
/// @dev A word is kept as one byte that tells its form, and then those of its bytes that are left:
///      - 0: the word is zero, and nothing is left of it;
///      - n, from 1 to 32: the last n bytes, as of a number;
///      - 32 + n, n from 1 to 31: the first n bytes, as of a text's end.
library ZeroPacking {
    /// @notice Takes the padding away.
    /// @param data ABI-encoded data: whole words.
    /// @return packed What `unpack` makes the same data of.
    function pack(bytes memory data) internal pure returns (bytes memory packed) {
        assembly ("memory-safe") {
            // How many bytes a number has.
            function length(value) -> n {
                n := shl(4, gt(value, 0xffffffffffffffffffffffffffffffff))
                n := or(n, shl(3, gt(shr(shl(3, n), value), 0xffffffffffffffff)))
                n := or(n, shl(2, gt(shr(shl(3, n), value), 0xffffffff)))
                n := or(n, shl(1, gt(shr(shl(3, n), value), 0xffff)))
                n := or(n, gt(shr(shl(3, n), value), 0xff))
                n := add(n, gt(value, 0))
            }

            packed := mload(0x40)
            let to := add(packed, 0x20)
            let from := add(data, 0x20)
            for {
                let end := add(from, mload(data))
            } lt(from, end) {
                from := add(from, 0x20)
            } {
                let word := mload(from)
                let form
                let n
                switch lt(word, 0x100)
                case 1 {
                    form := gt(word, 0)
                    n := form
                    mstore8(add(to, 1), word)
                }
                default {
                    n := length(word)
                    form := n
                    // Its first byte is there, and its last is not: what ends before it does. Below
                    // the lowest bit that is set, there are only zeros.
                    if lt(and(word, 0xff), eq(n, 32)) {
                        n := sub(33, length(and(word, sub(0, word))))
                        form := add(32, n)
                    }
                    // This writes beyond what is kept: over that comes the next word, or nothing.
                    mstore(add(to, 1), shl(mul(lt(form, 32), shl(3, sub(32, n))), word))
                }
                mstore8(to, form)
                to := add(to, add(1, n))
            }
            mstore(packed, sub(to, add(packed, 0x20)))
            mstore(0x40, and(add(to, 0x3f), not(0x1f)))
        }
    }

    /// @notice Gives data its padding back.
    /// @param packed What holds packed data.
    /// @param start Where it begins there.
    /// @param end Where it ends.
    /// @return data The ABI-encoded data.
    function unpack(
        bytes memory packed,
        uint256 start,
        uint256 end
    ) internal pure returns (bytes memory data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            let to := add(data, 0x20)
            let from := add(add(packed, 0x20), start)
            end := add(add(packed, 0x20), end)
            for {} lt(from, end) { to := add(to, 0x20) } {
                let form := byte(0, mload(from))
                let isText := gt(form, 32)
                let n := sub(form, shl(5, isText))
                let zeros := shl(3, sub(32, n))
                let bare := shr(zeros, mload(add(from, 1)))
                mstore(to, shl(mul(isText, zeros), bare))
                from := add(from, add(1, n))
            }
            mstore(data, sub(to, add(data, 0x20)))
            mstore(0x40, to)
        }
    }
}
