// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice Recorded event.
/// @param topics Topic and indexed fields.
/// @param data Other fields, encoded.
/// @param emitter Contract that emitted it.
struct Log {
    bytes32[] topics;
    bytes data;
    address emitter;
}

/// @title Cheat codes of Forge that are used here
interface Cheats {
    /// @notice Discards this call of the run unless the condition holds.
    function assume(bool condition) external pure;

    /// @notice Address of a private key.
    function addr(uint256 key) external pure returns (address);

    /// @notice Sets the sender of the next call.
    function prank(address sender) external;

    /// @notice Signs a hash.
    function sign(uint256 key, bytes32 hash) external pure returns (uint8 v, bytes32 r, bytes32 s);

    /// @notice Delegates an account to a contract (EIP-7702).
    function signAndAttachDelegation(address implementation, uint256 key) external;

    /// @notice Creation code in an artifact.
    function getCode(string calldata path) external view returns (bytes memory);

    /// @notice Starts or restarts the recording of events.
    function recordLogs() external;

    /// @notice Events recorded since, also of reverted calls.
    function getRecordedLogs() external returns (Log[] memory);

    /// @notice Sets the timestamp of the block.
    function warp(uint256 timestamp) external;
}

Cheats constant VM = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
