// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {DtnDefaults} from "./DtnDefaults.sol";
import {IDtnAi} from "./IDtnAi.sol";

/// @title Parts of a request, beyond those of `DtnDefaults`
/// @custom:security-contact Report privately, see SECURITY.md
library DtnRequests {
    /// @notice Trusts one node, by its name.
    /// @param fullName Full name of the node, for example `node.alice.first`.
    /// @return The routing.
    function routeToNode(string memory fullName) internal pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.defaultCustomNodesValidatedAny(DtnDefaults.singleArray(id(fullName)));
    }

    /// @notice Trusts the members of a namespace, by its name.
    /// @dev Nodes of the live network cannot join a namespace. Route by node there.
    /// @param fullName Full name of the namespace, for example `trust.system.authored`.
    /// @return routing The routing.
    function routeToNamespace(
        string memory fullName
    ) internal pure returns (IDtnAi.DtnRouting memory routing) {
        routing = DtnDefaults.defaultCustomNodesValidatedAny(new bytes32[](0));
        routing.trustNamespaceIds = DtnDefaults.singleArray(id(fullName));
    }

    /// @notice Request to a text model, answered in the transaction.
    /// @param prompt The prompt, one text.
    /// @param feePerByte Fee per byte of the request and of the response, in units of the fee token.
    /// @param maxCost Maximum fee for the response, in units of the fee token.
    /// @return The request.
    function text(
        string memory prompt,
        uint256 feePerByte,
        uint256 maxCost
    ) internal pure returns (IDtnAi.DtnRequest memory) {
        return
            IDtnAi.DtnRequest({
                call: abi.encode(DtnDefaults.singleArray(prompt)),
                extraParams: "",
                calltype: IDtnAi.CallType.DIRECT,
                feePerByteReq: feePerByte,
                feePerByteRes: feePerByte,
                totalFeePerRes: maxCost
            });
    }

    /// @notice No callback, for contracts that read the response themselves.
    /// @return The callback.
    function noCallback() internal pure returns (IDtnAi.CallBack memory) {
        return IDtnAi.CallBack({success: bytes4(0), failure: bytes4(0), target: address(0)});
    }

    /// @notice Id of a model, node, API or namespace.
    /// @param fullName Full name.
    /// @return Hash of the packed name, as the registries compute it.
    function id(string memory fullName) internal pure returns (bytes32) {
        return keccak256(bytes(fullName));
    }
}
