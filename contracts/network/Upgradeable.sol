// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {
    Ownable2StepUpgradeable
} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

/// @title What all contracts of the network share: a proxy in front, an owner who may upgrade
abstract contract Upgradeable is Ownable2StepUpgradeable, UUPSUpgradeable {
    /// @dev The implementation itself can never be initialized, only the proxies in front of it.
    constructor() {
        _disableInitializers();
    }

    function _authorizeUpgrade(address) internal virtual override onlyOwner {}
}
