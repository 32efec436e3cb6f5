// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title A contract that plays whatever part it is given, for tests
/// @notice It makes calls when it is told to, and others when somebody calls it: as the hook of a
///         token, as a callback of the network, or as the owner of a client.
contract ScriptedContract {
    /// @notice A call to make.
    /// @param target The contract.
    /// @param value The wei that go with it.
    /// @param data The call data.
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    Call[] private _part;
    bool private _insists;
    bool private _isPlaying;

    /// @notice A call of its part was made.
    /// @param caller Who had called the puppet.
    /// @param ok Whether the call succeeded.
    /// @param data What it returned or reverted with.
    event Played(address indexed caller, bool ok, bytes data);

    /// @notice Takes coin, and does nothing else.
    receive() external payable {}

    /// @notice Plays the part, once for each call from outside.
    fallback() external payable {
        if (_isPlaying) return;
        _isPlaying = true;
        for (uint256 i = 0; i < _part.length; ++i) {
            (bool ok, bytes memory data) = _make(_part[i]);
            if (!ok && _insists) _revert(data);
            emit Played(msg.sender, ok, data);
        }
        _isPlaying = false;
    }

    /// @notice Gives it its part.
    /// @param part What it calls whenever it is called.
    /// @param insists Whether it reverts where one of the calls does.
    function rehearse(Call[] calldata part, bool insists) external {
        delete _part;
        for (uint256 i = 0; i < part.length; ++i) _part.push(part[i]);
        _insists = insists;
    }

    /// @notice Makes calls now, and reverts where one does.
    /// @param calls The calls.
    function act(Call[] calldata calls) external payable {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory data) = _make(calls[i]);
            if (!ok) _revert(data);
        }
    }

    /// @notice Passes coin on with the little gas that old contracts send with it.
    /// @param to Who gets it.
    function give(address payable to) external payable {
        to.transfer(msg.value);
    }

    function _make(Call memory call) private returns (bool ok, bytes memory data) {
        return call.target.call{value: call.value}(call.data);
    }

    function _revert(bytes memory data) private pure {
        assembly {
            revert(add(data, 0x20), mload(data))
        }
    }
}
