// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Live} from "./Proof.sol";
import {ANY, VM} from "./Symbols.sol";

/// @title Whom a client obeys
contract Client is Live {
    /// @dev A client of Alice, whom she lets have all her tokens.
    address private client;

    /// @notice Creates the client.
    function setUp() public override {
        super.setUp();
        client = network.createClient(ALICE);
        VM.prank(ALICE);
        token.approve(client, type(uint256).max);
    }

    /// @notice Nobody but its owner makes it do anything: all that they can do is send it coin.
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
