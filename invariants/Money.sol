// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Actions} from "./Actions.sol";
import {Network} from "./Network.sol";

/// @notice Functions of a contract, in the form that Forge expects.
/// @param target The contract.
/// @param selectors The functions.
struct Excluded {
    address target;
    bytes4[] selectors;
}

/// @title Invariant tests: tokens go only where they are due
abstract contract Money {
    Actions internal actions;

    function _begin(string memory variant, bool isReference) internal {
        address[2] memory workers = [address(0xa11ce), address(0xb0b)];
        Network network = new Network("../ape_dtn/artifacts", variant, workers);
        actions = new Actions(network, isReference, workers);
    }

    /// @notice Contracts that Forge calls at random.
    /// @return targets The actions alone.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actions);
    }

    /// @notice Functions that Forge does not call at random.
    /// @return excluded The end of a run.
    function excludeSelectors() external view returns (Excluded[] memory excluded) {
        excluded = new Excluded[](1);
        excluded[0].target = address(actions);
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = Actions.finish.selector;
    }

    /// @notice Called once at the end of a run.
    function afterInvariant() external {
        actions.finish();
        actions.audit();
    }

    /// @notice Checked after every action.
    function invariant_money_is_where_it_belongs() external view {
        actions.audit();
    }
}

contract ReferenceMoney is Money {
    function setUp() external {
        _begin("Reference", true);
    }
}

contract LiveMoney is Money {
    function setUp() external {
        _begin("Live", false);
    }
}
