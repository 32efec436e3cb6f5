// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {LiveAccess} from "./Access.sol";
import {LiveCharging} from "./Charging.sol";
import {Client} from "./Client.sol";
import {Delegate} from "./Delegate.sol";
import {ReferenceFee} from "./Fee.sol";
import {ReferenceLedger} from "./Ledger.sol";
import {LiveSessions} from "./Sessions.sol";

// Claims that are not true, each with one mistake. A test has halmos refute all of them: what would
// prove these as well would prove nothing.

/// @title As if a worker were paid what its request may cost, even where less is left
contract MistakenCharge is LiveCharging {
    function _isRight(
        Answered memory its,
        uint256 fee,
        uint256 charge
    ) internal pure override returns (bool) {
        return charge == _least(fee, its.most);
    }
}

/// @title As if no fee were a number
contract MistakenMeasure is LiveCharging {
    function _fee(Answered memory its) internal pure override returns (bool, uint256) {
        (, uint256 fee) = super._fee(its);
        return (false, fee);
    }
}

/// @title As if nobody ever left a unit where sessions are paid
contract MistakenSessions is LiveSessions {
    function _start(address owner, uint256 deposit) internal override returns (uint256 sessionId) {
        sessionId = super._start(owner, deposit);
        token.mint(router.feeTarget(), 1);
    }
}

/// @title As if Bob were in place of all who may, and another request were the same
contract MistakenAccess is LiveAccess {
    function _isOwner(address caller, address) internal pure override returns (bool) {
        return caller == BOB;
    }

    function _same(bytes32) internal override returns (bytes32 requestId) {
        (, requestId) = _ask(BOB, _start(BOB, 1e6), 1, 1, 1e6);
    }
}

/// @title As if Alice's client were Bob's
contract MistakenClient is Client {
    function _isOwner(address caller) internal pure override returns (bool) {
        return caller == BOB;
    }
}

/// @title As if Alice's account were Bob's
contract MistakenDelegate is Delegate {
    function _isOwner(address caller) internal pure override returns (bool) {
        return caller == BOB;
    }
}

/// @title As if a unit less were set aside
contract MistakenLedger is ReferenceLedger {
    function _reserved(uint256 sessionId) internal view override returns (uint256) {
        return super._reserved(sessionId) + 1;
    }
}

/// @title As if an answer always cost its bytes, whatever the request may cost
contract MistakenFee is ReferenceFee {
    function _isRight(uint256 charge, uint256 fee, uint256) internal pure override returns (bool) {
        return charge == fee;
    }
}
