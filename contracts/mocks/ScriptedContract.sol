// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Contract that makes scripted calls, for tests
/// @notice Makes calls on request, and scripted ones whenever it is called: as the hook of a token,
///         as a callback of the network, or as the owner of a client.
contract ScriptedContract {
    /// @notice Call to make.
    /// @param target Contract to call.
    /// @param value Value in wei.
    /// @param data Call data.
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    Call[] private _script;
    bool private _isStrict;
    bool private _isRunning;

    /// @notice A scripted call was made.
    /// @param caller Account that had called this contract.
    /// @param ok Whether the call succeeded.
    /// @param data Return or revert data.
    event Played(address indexed caller, bool ok, bytes data);

    /// @notice Accepts native currency, and does nothing else.
    receive() external payable {}

    /// @notice Makes the scripted calls, except when called by one of them.
    fallback() external payable {
        if (_isRunning) return;
        _isRunning = true;
        for (uint256 i = 0; i < _script.length; ++i) {
            (bool ok, bytes memory data) = _make(_script[i]);
            if (!ok && _isStrict) _revert(data);
            emit Played(msg.sender, ok, data);
        }
        _isRunning = false;
    }

    /// @notice Sets the script.
    /// @param script Calls to make whenever this contract is called.
    /// @param strict Whether to revert when one of them does.
    function rehearse(Call[] calldata script, bool strict) external {
        delete _script;
        for (uint256 i = 0; i < script.length; ++i) _script.push(script[i]);
        _isStrict = strict;
    }

    /// @notice Makes calls now, and reverts when one of them does.
    /// @param calls The calls.
    function act(Call[] calldata calls) external payable {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory data) = _make(calls[i]);
            if (!ok) _revert(data);
        }
    }

    /// @notice Forwards the value with the 2300 gas of `transfer`, as old contracts do.
    /// @param to Recipient.
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
