// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Live} from "./Proof.sol";
import {VM} from "./Symbols.sol";

/// @title Proofs of the fees of the live variant
/// @dev The reference router packs requests, and halmos cannot determine the packed length for
///      symbolic prices. Its fees are proved in `Fee.sol`, its charges in `Ledger.sol`.
contract LiveCharging is Live {
    /// @notice A session, a request, and the sizes that the node states.
    struct Case {
        uint256 balance;
        uint256 otherBalance;
        uint256 feePerByteReq;
        uint256 feePerByteRes;
        uint256 maxFee;
        uint8 status;
        uint256 requestSize;
        uint256 responseSize;
    }

    /// @notice A worker is paid its fee, up to the maximum fee of the request and the balance of the
    ///         session. The session pays exactly that, and nobody else pays anything.
    function check_an_answer_costs_its_fee(Case memory c) external {
        (bool fits, uint256 fee) = _fee(c);
        VM.assume(fits);
        (uint256 sessionId, bytes32 requestId) = _openRequest(c);
        uint256 another = _start(BOB, c.otherBalance);
        _minimum(fee, c.maxFee);
        _minimum(_least(fee, c.maxFee), c.balance);
        _assertAccepted(_answer(WORKER, requestId, c.status, c.requestSize, c.responseSize), true);
        uint256 charge = token.balanceOf(WORKER);
        assert(_isRight(c, fee, charge));
        uint256 left = c.balance - charge;
        uint256 wrong = sessions.getSessionBalance(sessionId) ^ left;
        wrong |= sessions.getSessionBalance(another) ^ c.otherBalance;
        wrong |= token.balanceOf(address(sessions)) ^ (left + c.otherBalance);
        assert(wrong == 0);
    }

    /// @notice Sizes whose fee overflows 256 bits are refused, and cost nothing.
    function check_sizes_that_overflow_are_refused(Case memory c) external {
        (bool fits, ) = _fee(c);
        VM.assume(!fits);
        (uint256 sessionId, bytes32 requestId) = _openRequest(c);
        _assertAccepted(_answer(WORKER, requestId, c.status, c.requestSize, c.responseSize), false);
        assert(token.balanceOf(WORKER) == 0);
        assert(sessions.getSessionBalance(sessionId) == c.balance);
    }

    /// @dev Whether a charge is the minimum of fee, maximum fee and balance.
    function _isRight(
        Case memory c,
        uint256 fee,
        uint256 charge
    ) internal pure virtual returns (bool) {
        uint256 within = _bit(charge <= fee) & _bit(charge <= c.maxFee) & _bit(charge <= c.balance);
        uint256 exact = _bit(charge == fee) | _bit(charge == c.maxFee) | _bit(charge == c.balance);
        return within & exact == 1;
    }

    /// @dev A session with a pending request.
    function _openRequest(Case memory c) internal returns (uint256 sessionId, bytes32 requestId) {
        VM.assume(c.status <= 2);
        sessionId = _start(ALICE, c.balance);
        bool made;
        (made, requestId) = _ask(ALICE, sessionId, c.feePerByteReq, c.feePerByteRes, c.maxFee);
        VM.assume(made);
    }

    /// @dev The fee, and whether it fits into 256 bits.
    function _fee(Case memory c) internal pure virtual returns (bool, uint256) {
        if (c.status != 1) return _sum(c.requestSize, c.responseSize);
        (bool first, uint256 asked) = _product(c.requestSize, c.feePerByteReq);
        (bool second, uint256 answered) = _product(c.responseSize, c.feePerByteRes);
        (bool both, uint256 fee) = _sum(asked, answered);
        return (_bit(first) & _bit(second) & _bit(both) == 1, fee);
    }
}
