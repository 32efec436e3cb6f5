// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "./IDtnAi.sol";

/// @title Default routings: one response, from any trusted node
/// @notice The functions of the network's own package, word for word. More are in `DtnRequests`.
/// @custom:security-contact Report privately, see SECURITY.md
library DtnDefaults {
    /// @notice Number of the routing by `defaultRoutingSystemValidatedAny`.
    uint256 internal constant ROUTING_SYSTEM_VALIDATED_ANY_CONSTANT = 1;

    /// @notice Trusts the members of the namespace `trust.system.authored`.
    /// @dev No node answers it on the live network: this is the hash of the encoded name, and the
    ///      node registry uses the hash of the packed name. Use `defaultCustomNodesValidatedAny`.
    /// @return The routing.
    function defaultRoutingSystemValidatedAny() internal pure returns (IDtnAi.DtnRouting memory) {
        return _any(singleArray(keccak256(abi.encode("trust.system.authored"))), new bytes32[](0));
    }

    /// @notice Trusts these nodes; the first to respond completes the request.
    /// @param nodeIds Ids of the nodes, see `DtnRequests.id`.
    /// @return The routing.
    function defaultCustomNodesValidatedAny(
        bytes32[] memory nodeIds
    ) internal pure returns (IDtnAi.DtnRouting memory) {
        return _any(new bytes32[](0), nodeIds);
    }

    /// @notice Array of one id.
    /// @param value The id.
    /// @return array The array.
    function singleArray(bytes32 value) internal pure returns (bytes32[] memory array) {
        array = new bytes32[](1);
        array[0] = value;
    }

    /// @notice Array of one text, as the prompt of a text model.
    /// @param value The text.
    /// @return array The array.
    function singleArray(string memory value) internal pure returns (string[] memory array) {
        array = new string[](1);
        array[0] = value;
    }

    function _any(
        bytes32[] memory namespaceIds,
        bytes32[] memory nodeIds
    ) private pure returns (IDtnAi.DtnRouting memory) {
        return
            IDtnAi.DtnRouting({
                trustNamespaceIds: namespaceIds,
                trustedNodeIds: nodeIds,
                redundancy: 1,
                confidenceLevel: 8,
                aggregationType: IDtnAi.AggregationType.ANY
            });
    }
}
