// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {AtomicSessions} from "./AtomicSessions.sol";

/// @title EIP-7702 delegate: code that a plain account runs as its own
/// @notice The account itself pays for, owns and closes its sessions, and its tokens go only to the
///         network. Only the account's own transactions can use the delegate. To everybody else the
///         account behaves as without code: it accepts native currency, tokens and calls, and its
///         signatures are valid where contracts have to confirm theirs (ERC-1271).
/// @dev Created once on each chain, through the deterministic deployment proxy with salt 0. It has
///      no initializer that could be front-run. Its only variable is at an ERC-7201 location, so
///      that it does not collide with storage of other delegates.
/// @custom:security-contact Report privately, see SECURITY.md
contract DtnDelegate is AtomicSessions, IERC1271, ERC721Holder, ERC1155Holder {
    /// @custom:storage-location erc7201:ape-dtn.DtnDelegate
    struct DelegateStorage {
        uint64 requestCount;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.DtnDelegate")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x3830b6e0f23f2879d72acd4ad554a8b69a2ea6fe1c94efc5db97a5c9e5aeb100;

    /// @notice Accepts native currency, as any account does.
    receive() external payable {}

    /// @notice Accepts unknown calls, as an account without code does.
    fallback() external payable {}

    /// @notice Number of requests that the account has made with this delegate.
    /// @return The number.
    function requestCount() external view returns (uint64) {
        return _storage().requestCount;
    }

    /// @notice Checks a signature of the account (ERC-1271).
    /// @param hash The hash.
    /// @param signature Signature by the account's own key.
    /// @return 0x1626ba7e for a valid signature, 0xffffffff otherwise.
    function isValidSignature(
        bytes32 hash,
        bytes calldata signature
    ) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError error, ) = ECDSA.tryRecoverCalldata(hash, signature);
        bool isOwn = error == ECDSA.RecoverError.NoError && signer == address(this);
        return isOwn ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// @inheritdoc AtomicSessions
    /// @dev The account itself: only transactions that it sends to itself pass `onlyOwner`.
    function owner() public view override returns (address) {
        return address(this);
    }

    /// @inheritdoc AtomicSessions
    function _count(IDtnAi, uint64 count) internal override returns (uint64 before) {
        DelegateStorage storage $ = _storage();
        before = $.requestCount;
        $.requestCount = before + count;
    }

    function _storage() private pure returns (DelegateStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
