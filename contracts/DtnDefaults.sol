// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {IDtnAi} from "./IDtnAi.sol";

/// @title Routings, requests and callbacks with the usual values filled in
/// @notice Everything made here can complete on the deployed network: one answer, from any node that
///         is trusted.
library DtnDefaults {
    /// @notice The confidence level of the routings made here.
    uint8 internal constant CONFIDENCE_LEVEL = 8;

    /// @notice Trusts exactly these nodes: whichever answers first.
    /// @param nodeIds Node ids, see `nodeId`.
    /// @return The routing.
    function anyOf(bytes32[] memory nodeIds) internal pure returns (IDtnAi.DtnRouting memory) {
        return _any(new bytes32[](0), nodeIds);
    }

    /// @notice Trusts exactly one node.
    /// @param nodeFullName For example `node.alice.first`.
    /// @return The routing.
    function node(string memory nodeFullName) internal pure returns (IDtnAi.DtnRouting memory) {
        return _any(new bytes32[](0), one(id(nodeFullName)));
    }

    /// @notice Trusts the members of a namespace.
    /// @dev Nodes of the deployed network cannot join one: route by node there.
    /// @param namespaceFullName For example `trust.system.authored`.
    /// @return The routing.
    function namespace(
        string memory namespaceFullName
    ) internal pure returns (IDtnAi.DtnRouting memory) {
        return _any(one(id(namespaceFullName)), new bytes32[](0));
    }

    /// @notice A request to a text model that is answered in the transaction itself.
    /// @param prompt The prompt, as one line.
    /// @param feePerByte Fee for each byte, asked and answered, in units of the fee token.
    /// @param mostItMayCost The most that the answer may cost, in units of the fee token.
    /// @return The request.
    function text(
        string memory prompt,
        uint256 feePerByte,
        uint256 mostItMayCost
    ) internal pure returns (IDtnAi.DtnRequest memory) {
        string[] memory lines = new string[](1);
        lines[0] = prompt;
        return
            IDtnAi.DtnRequest({
                call: abi.encode(lines),
                extraParams: "",
                calltype: IDtnAi.CallType.DIRECT,
                feePerByteReq: feePerByte,
                feePerByteRes: feePerByte,
                totalFeePerRes: mostItMayCost
            });
    }

    /// @notice The callback of a contract that only reads its answer.
    /// @return A callback that calls nothing.
    function noCallback() internal pure returns (IDtnAi.CallBack memory) {
        return IDtnAi.CallBack({success: bytes4(0), failure: bytes4(0), target: address(0)});
    }

    /// @notice The id of a model, node, API or namespace.
    /// @param fullName Its full name.
    /// @return The keccak-256 hash of the packed name, as the deployed registries compute it.
    function id(string memory fullName) internal pure returns (bytes32) {
        return keccak256(bytes(fullName));
    }

    /// @notice An array of one id.
    /// @param value The id.
    /// @return array The array.
    function one(bytes32 value) internal pure returns (bytes32[] memory array) {
        array = new bytes32[](1);
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
                confidenceLevel: CONFIDENCE_LEVEL,
                aggregationType: IDtnAi.AggregationType.ANY
            });
    }
}
