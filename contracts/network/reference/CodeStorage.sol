// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Write-once storage in the code of contracts
/// @notice A byte of code costs 200 gas, a word of storage 22,100. Content is split into pages. Only
///         the last page is shorter than the others; it is empty when the content ends with a full
///         page.
/// @dev Every page has the same creation code, which asks its creator for the content. The address
///      of a page therefore depends only on what it stores, and needs no storage.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract CodeStorage {
    // Maximum size of a contract's code, less the leading STOP that makes it unusable as code.
    uint256 private constant PAGE = 24_575;

    // Transient storage: length of the page that is being written, followed by its words.
    // keccak256(abi.encode(uint256(keccak256("ape-dtn.CodeStorage")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant CONTENT =
        0x0b807f7aa62fc5e5e21037cb0af387fd46813f25b8c55d1e66514425a7f3a600;

    // Hand-written: the output of a compiler changes with its version, and after an upgrade the
    // pages from before would not be found.
    //   63 0df813b9 5f 52              mstore(0, page.selector)
    //   5f 5f 60 04 60 1c 33 5a fa     staticcall(gas, caller, 28, 4, 0, 0)
    //   3d 5f 5f 3e                    returndatacopy(0, 0, returndatasize)
    //   60 1a 57 5f 5f fd              revert(0, 0) unless it succeeded
    //   5b 3d 5f f3                    return(0, returndatasize)
    bytes30 private constant CREATION_CODE =
        0x630df813b95f525f5f6004601c335afa3d5f5f3e601a575f5ffd5b3d5ff3;
    bytes32 private constant CREATION_CODE_HASH = keccak256(
        hex"630df813b95f525f5f6004601c335afa3d5f5f3e601a575f5ffd5b3d5ff3"
    );

    /// @notice The content was written before.
    error AlreadyWritten();

    /// @notice Code of the page that is being created, for its creation code alone.
    /// @dev The first byte is STOP.
    function page() external view {
        assembly ("memory-safe") {
            let length := tload(CONTENT)
            let code := mload(0x40)
            mstore8(code, 0)
            for {
                let place := 0
            } lt(place, length) {
                place := add(place, 0x20)
            } {
                mstore(add(add(code, 1), place), tload(add(add(CONTENT, 1), shr(5, place))))
            }
            return(code, add(1, length))
        }
    }

    /// @dev Reverts when the content of this kind and id was written before.
    /// @param kind Kind of content: one id can have content of several kinds.
    /// @param id Id of the content.
    /// @param content The content.
    function _write(uint256 kind, bytes32 id, bytes memory content) internal {
        uint256 written = 0;
        uint256 length = PAGE;
        for (uint256 number = 0; length == PAGE; ++number) {
            length = Math.min(content.length - written, PAGE);
            bytes32 salt = _salt(kind, id, number);
            address created;
            assembly ("memory-safe") {
                let from := add(add(content, 0x20), written)
                tstore(CONTENT, length)
                for {
                    let place := 0
                } lt(place, length) {
                    place := add(place, 0x20)
                } {
                    tstore(add(add(CONTENT, 1), shr(5, place)), mload(add(from, place)))
                }
                mstore(0, CREATION_CODE)
                created := create2(0, 0, 30, salt)
            }
            if (created == address(0)) revert AlreadyWritten();
            written += length;
        }
    }

    /// @dev Content of a kind and id, empty if there is none.
    function _read(uint256 kind, bytes32 id) internal view returns (bytes memory content) {
        bytes memory last = _codeAt(_page(kind, id, 0));
        content = last;
        for (uint256 number = 1; last.length == PAGE; ++number) {
            last = _codeAt(_page(kind, id, number));
            content = bytes.concat(content, last);
        }
    }

    function _isWritten(uint256 kind, bytes32 id) internal view returns (bool) {
        return _page(kind, id, 0).code.length != 0;
    }

    function _codeAt(address at) private view returns (bytes memory content) {
        uint256 size = at.code.length;
        if (size == 0) return "";
        assembly ("memory-safe") {
            content := mload(0x40)
            mstore(content, sub(size, 1))
            extcodecopy(at, add(content, 0x20), 1, sub(size, 1))
            mstore(0x40, and(add(add(content, size), 0x3e), not(0x1f)))
        }
    }

    function _page(uint256 kind, bytes32 id, uint256 number) private view returns (address) {
        return Create2.computeAddress(_salt(kind, id, number), CREATION_CODE_HASH);
    }

    /// @dev Hashed, so that no id can be chosen to collide with the salt of another page.
    function _salt(uint256 kind, bytes32 id, uint256 number) private pure returns (bytes32) {
        return keccak256(abi.encode(kind, id, number));
    }
}
