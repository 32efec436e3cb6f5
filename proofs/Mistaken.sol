// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {LiveAccess} from "./Access.sol";
import {LiveCharging} from "./Charging.sol";
import {Client} from "./Client.sol";
import {Delegate} from "./Delegate.sol";
import {ReferenceFee} from "./Fee.sol";
import {ReferenceLedger} from "./Ledger.sol";
import {LiveSessions} from "./Sessions.sol";

// False claims, each with one mistake. A test has halmos refute all of them: a prover that accepted
// them would prove nothing.

/// @title Claims that a worker is paid even if the balance is short
contract MistakenCharge is LiveCharging {
    function _isRight(
        Case memory c,
        uint256 fee,
        uint256 charge
    ) internal pure override returns (bool) {
        return charge == _least(fee, c.maxFee);
    }
}

/// @title Claims that every fee overflows
contract MistakenMeasure is LiveCharging {
    function _fee(Case memory c) internal pure override returns (bool, uint256) {
        (, uint256 fee) = super._fee(c);
        return (false, fee);
    }
}

/// @title Claims that there are no other deposits
contract MistakenSessions is LiveSessions {
    function _start(address owner, uint256 deposit) internal override returns (uint256 sessionId) {
        sessionId = super._start(owner, deposit);
        token.mint(router.feeTarget(), 1);
    }
}

/// @title Claims that Bob is every owner, and that another request is the same one
contract MistakenAccess is LiveAccess {
    function _isOwner(address caller, address) internal pure override returns (bool) {
        return caller == BOB;
    }

    function _same(bytes32) internal override returns (bytes32 requestId) {
        (, requestId) = _ask(BOB, _start(BOB, 1e6), 1, 1, 1e6);
    }
}

/// @title Claims that Bob owns Alice's client
contract MistakenClient is Client {
    function _isOwner(address caller) internal pure override returns (bool) {
        return caller == BOB;
    }
}

/// @title Claims that Bob owns Alice's account
contract MistakenDelegate is Delegate {
    function _isOwner(address caller) internal pure override returns (bool) {
        return caller == BOB;
    }
}

/// @title Claims that one unit less is reserved
contract MistakenLedger is ReferenceLedger {
    function _reserved(uint256 sessionId) internal view override returns (uint256) {
        return super._reserved(sessionId) + 1;
    }
}

/// @title Claims that the maximum fee does not limit a charge
contract MistakenFee is ReferenceFee {
    function _isRight(uint256 charge, uint256 fee, uint256) internal pure override returns (bool) {
        return charge == fee;
    }
}
