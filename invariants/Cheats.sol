// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice An event, as the recording gives it back.
/// @param topics Its signature and indexed fields.
/// @param data Its other fields.
/// @param emitter Who emitted it.
struct Log {
    bytes32[] topics;
    bytes data;
    address emitter;
}

/// @title What forge can do to the chain, as far as it is used here
interface Cheats {
    /// @notice Drops this call from the run, uncounted, unless the condition holds.
    function assume(bool condition) external pure;

    /// @notice The address of a private key.
    function addr(uint256 key) external pure returns (address);

    /// @notice Makes the next call come from another account.
    function prank(address sender) external;

    /// @notice Signs a hash.
    function sign(uint256 key, bytes32 hash) external pure returns (uint8 v, bytes32 r, bytes32 s);

    /// @notice Has an account run a contract's code as its own, by EIP-7702.
    function signAndAttachDelegation(address implementation, uint256 key) external;

    /// @notice The creation code in an artifact.
    function getCode(string calldata path) external view returns (bytes memory);

    /// @notice Begins to record events, or begins again.
    function recordLogs() external;

    /// @notice The events since, those of calls that were reverted among them.
    function getRecordedLogs() external returns (Log[] memory);

    /// @notice Sets the time of the block.
    function warp(uint256 timestamp) external;
}

Cheats constant VM = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
