// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {IDtnAi} from "./IDtnAi.sol";

/// @title An upgradeable contract that uses AI
/// @notice As `WithDtnAi`, for contracts behind a proxy: call `__WithDtnAi_init` in the initializer.
///         Its one variable lives at its own ERC-7201 location, clear of the heir's storage.
abstract contract WithDtnAiUpgradeable is Initializable {
    /// @custom:storage-location erc7201:ape-dtn.WithDtnAi
    struct WithDtnAiStorage {
        IDtnAi ai;
    }

    // keccak256(abi.encode(uint256(keccak256("ape-dtn.WithDtnAi")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant WITH_DTN_AI_STORAGE =
        0xc628d422fa1fd00040427201adc3288eaaf23816ceb8a8f7934772e875bee200;

    /// @notice Somebody other than the router called a callback.
    /// @param caller Who called.
    error OnlyDtn(address caller);

    /// @notice The router was set to an address without code.
    /// @param router The address.
    error NotARouter(address router);

    /// @notice Lets only the router in: without it, anybody can play the network's answer.
    modifier onlyDtn() {
        if (msg.sender != address(ai())) revert OnlyDtn(msg.sender);
        _;
    }

    /// @notice The router of the Deep Trust Network.
    /// @return The router.
    function ai() public view virtual returns (IDtnAi) {
        return _withDtnAiStorage().ai;
    }

    /// @notice Sets the router from an initializer.
    /// @param router The router's address, which must have code.
    // solhint-disable-next-line func-name-mixedcase
    function __WithDtnAi_init(address router) internal onlyInitializing {
        setAi(router);
    }

    /// @notice Chooses the router. Internal, so that each contract decides who may change it.
    /// @param router The router's address, which must have code.
    function setAi(address router) internal virtual {
        if (router.code.length == 0) revert NotARouter(router);
        _withDtnAiStorage().ai = IDtnAi(router);
    }

    function _withDtnAiStorage() private pure returns (WithDtnAiStorage storage $) {
        assembly {
            $.slot := WITH_DTN_AI_STORAGE
        }
    }
}
