// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// The network's own package has these names in a file of this name.
// solhint-disable no-unused-import
import {DtnDefaults} from "./DtnDefaults.sol";
import {IDtnAi} from "./IDtnAi.sol";
