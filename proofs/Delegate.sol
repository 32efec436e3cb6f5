// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Live} from "./Proof.sol";
import {ANY, VM} from "./Symbols.sol";

/// @title Proof of access control of a delegated account
contract Delegate is Live {
    /// @notice Delegates Alice's account.
    function setUp() public override {
        super.setUp();
        VM.etch(ALICE, network.delegate().code);
    }

    /// @notice No call of others changes the storage of the account, the token or the network.
    function check_an_account_obeys_itself_alone(
        address caller,
        uint256 held,
        uint256 inSession
    ) external {
        VM.assume(!_isOwner(caller));
        token.mint(ALICE, held);
        VM.assume(held + inSession >= held);
        _start(ALICE, inSession);
        bytes memory call = ANY.createCalldata("Shipped.sol", "DtnDelegate", false);
        uint256[4] memory before = _state();
        VM.prank(caller);
        (bool done, ) = ALICE.call(call);
        VM.assume(done);
        uint256[4] memory now_ = _state();
        for (uint256 i = 0; i < 4; ++i) assert(now_[i] == before[i]);
    }

    function _isOwner(address caller) internal pure virtual returns (bool) {
        return caller == ALICE;
    }

    function _state() private returns (uint256[4] memory state) {
        state[0] = ANY.snapshotStorage(ALICE);
        state[1] = ANY.snapshotStorage(address(token));
        state[2] = ANY.snapshotStorage(address(router));
        state[3] = ANY.snapshotStorage(address(sessions));
    }
}
