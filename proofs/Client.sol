// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Live} from "./Proof.sol";
import {ANY, VM} from "./Symbols.sol";

/// @title Proof of access control of a client
contract Client is Live {
    /// @dev Client of Alice with an allowance for all her tokens.
    address private client;

    /// @notice Creates the client.
    function setUp() public override {
        super.setUp();
        client = network.createClient(ALICE);
        VM.prank(ALICE);
        token.approve(client, type(uint256).max);
    }

    /// @notice Only its owner can call it. Others can only send native currency.
    function check_a_client_obeys_its_owner_alone(address caller, uint256 held) external {
        VM.assume(!_isOwner(caller));
        _start(client, held);
        bytes memory call = ANY.createCalldata("Shipped.sol", "DtnClient", false);
        VM.prank(caller);
        (bool done, ) = client.call(call);
        assert(!done || call.length == 0);
    }

    function _isOwner(address caller) internal pure virtual returns (bool) {
        return caller == ALICE;
    }
}
