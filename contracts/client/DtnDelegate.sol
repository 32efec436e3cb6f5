// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IDtnAi} from "../IDtnAi.sol";
import {AtomicSessions} from "./AtomicSessions.sol";

/// @title The code that a plain account runs as its own, by EIP-7702
/// @notice The account itself pays for, owns and closes its sessions; the tokens never leave it but
///         for the network. Nothing is created for it, and only its own transactions can make it do
///         anything. For everybody else it behaves as it did without code: it takes coin, tokens
///         and calls, and its signatures are good where contracts are asked for theirs (ERC-1271).
/// @dev Created once on each chain, through the deterministic deployment proxy with salt 0. Nothing
///      has to be initialized, where somebody else could come before. Its one variable lives at an
///      ERC-7201 location, clear of what other delegates keep in the account.
contract DtnDelegate is AtomicSessions, IERC1271, ERC721Holder, ERC1155Holder {
    /// @custom:storage-location erc7201:ape-dtn.DtnDelegate
    struct DelegateStorage {
        uint64 requestCount;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.DtnDelegate")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE =
        0x3830b6e0f23f2879d72acd4ad554a8b69a2ea6fe1c94efc5db97a5c9e5aeb100;

    /// @notice Takes coin, as any account does.
    receive() external payable {}

    /// @notice Takes calls that mean nothing to it, as an account without code does.
    fallback() external payable {}

    /// @notice How many requests the account has made by this delegate.
    /// @return The number.
    function requestCount() external view returns (uint64) {
        return _storage().requestCount;
    }

    /// @notice Whether the account signed a hash (ERC-1271).
    /// @param hash The hash.
    /// @param signature The signature, of the account's own key.
    /// @return 0x1626ba7e when it did, 0xffffffff otherwise.
    function isValidSignature(
        bytes32 hash,
        bytes calldata signature
    ) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError error, ) = ECDSA.tryRecoverCalldata(hash, signature);
        bool isOwn = error == ECDSA.RecoverError.NoError && signer == address(this);
        return isOwn ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// @inheritdoc AtomicSessions
    /// @dev The account itself: what it sends itself runs here, and nothing else is let in.
    function owner() public view override returns (address) {
        return address(this);
    }

    /// @inheritdoc AtomicSessions
    function _count(IDtnAi, uint64 howMany) internal override returns (uint64 before) {
        DelegateStorage storage $ = _storage();
        before = $.requestCount;
        $.requestCount = before + howMany;
    }

    function _storage() private pure returns (DelegateStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
