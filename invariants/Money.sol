// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Actions} from "./Actions.sol";
import {Network} from "./Network.sol";

/// @title The money of a network is where it belongs, whatever anybody does
abstract contract Money {
    Actions internal actions;

    function _begin(string memory behaviour, bool documented) internal {
        address[2] memory workers = [address(0xa11ce), address(0xb0b)];
        actions = new Actions(new Network(behaviour, workers), documented, workers);
    }

    /// @notice What forge calls at random.
    /// @return targets Only the actions.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actions);
    }

    /// @notice Holds after every action.
    function invariant_money_is_where_it_belongs() external view {
        actions.audit();
    }
}

contract DocumentedMoney is Money {
    function setUp() external {
        _begin("Documented", true);
    }
}

contract DeployedMoney is Money {
    function setUp() external {
        _begin("Deployed", false);
    }
}
