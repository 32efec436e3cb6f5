// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Ownable2StepUpgradeable} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

/// @title Base of the network's contracts: behind a proxy, upgradeable by the owner
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract Upgradeable is Ownable2StepUpgradeable, UUPSUpgradeable {
    /// @dev Only proxies can be initialized, not the implementation.
    constructor() {
        _disableInitializers();
    }

    function _authorizeUpgrade(address) internal virtual override onlyOwner {}
}
