// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Compression of ABI-encoded data by leaving out zero bytes
/// @notice Most bytes of ABI-encoded data are zero: in small numbers, offsets, lengths, and after
///         the end of texts. Stored as code, each of them would cost 200 gas.
/// @dev A word is stored as one byte for its form, followed by the bytes that are kept:
///      - 0: the word is zero, no bytes are kept;
///      - n, from 1 to 32: the last n bytes, as of a number;
///      - 32 + n, n from 1 to 31: the first n bytes, as of the end of a text.
/// @custom:security-contact Report privately, see SECURITY.md
library ZeroPacking {
    /// @notice Compresses data.
    /// @param data ABI-encoded data: whole words.
    /// @return packed Compressed data, for `unpack`.
    function pack(bytes memory data) internal pure returns (bytes memory packed) {
        assembly ("memory-safe") {
            // Number of bytes of a number.
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
                    // The first byte is not zero and the last one is: a text that ends in this word.
                    // The lowest set bit is in its last byte.
                    if lt(and(word, 0xff), eq(n, 32)) {
                        n := sub(33, length(and(word, sub(0, word))))
                        form := add(32, n)
                    }
                    // Writes beyond the kept bytes. The next word overwrites the excess.
                    mstore(add(to, 1), shl(mul(lt(form, 32), shl(3, sub(32, n))), word))
                }
                mstore8(to, form)
                to := add(to, add(1, n))
            }
            mstore(packed, sub(to, add(packed, 0x20)))
            mstore(0x40, and(add(to, 0x3f), not(0x1f)))
        }
    }

    /// @notice Restores data.
    /// @param packed Bytes that contain compressed data.
    /// @param start Index of its first byte.
    /// @param end Index after its last byte.
    /// @return data ABI-encoded data.
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
            for {} lt(from, end) {
                to := add(to, 0x20)
            } {
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
