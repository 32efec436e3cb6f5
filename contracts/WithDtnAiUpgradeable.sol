// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {IDtnAi} from "./IDtnAi.sol";

/// @title Base of upgradeable contracts that use AI
/// @notice As `WithDtnAi`, for contracts behind a proxy. Call `__WithDtnAi_init` in the initializer.
/// @dev The location of its storage is that of the network's own package: a proxy that was deployed
///      with it keeps its router when it is upgraded to a contract with this base.
/// @custom:security-contact Report privately, see SECURITY.md
abstract contract WithDtnAiUpgradeable is Initializable {
    /// @custom:storage-location erc7201:dtn.storage.withdtnai.001
    struct WithDtnAiStorage {
        IDtnAi ai;
    }

    // keccak256(abi.encode(uint256(keccak256("dtn.storage.withdtnai.001")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant WITH_DTN_AI_STORAGE =
        0x120a853abbe723116a3ebafd26371681971b14dbea103ee376d65bbb8d134e00;

    /// @notice Restricts callbacks to the router. Without it anybody can forge a response.
    modifier onlyDtn() {
        // A string and not an error: existing contracts and their tests expect these words.
        require(msg.sender == address(ai()), "Only Dtn can call this function");
        _;
    }

    /// @notice Sets the router, unchecked. For initializers.
    /// @dev `DtnRouter.checked` refuses addresses without code.
    /// @param router Address of the router.
    // solhint-disable-next-line func-name-mixedcase
    function __WithDtnAi_init(address router) internal onlyInitializing {
        getWithDtnAiStorage().ai = IDtnAi(router);
    }

    /// @notice Router of the Deep Trust Network.
    /// @return The router.
    function ai() internal view virtual returns (IDtnAi) {
        return getWithDtnAiStorage().ai;
    }

    /// @notice Storage of this contract, to change the router after initialization.
    /// @return $ The storage.
    function getWithDtnAiStorage() internal pure returns (WithDtnAiStorage storage $) {
        assembly {
            $.slot := WITH_DTN_AI_STORAGE
        }
    }
}
