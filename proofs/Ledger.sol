// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Sessions} from "@dtn/network/reference/Sessions.sol";
import {TestToken} from "@dtn/mocks/TestToken.sol";
import {VM} from "./Symbols.sol";

/// @title Sessions of the reference router without its requests
/// @notice Compiled from the source of the shipped router. There the maximum fee is packed with the
///         request, and halmos cannot determine the packed length.
contract Ledger is Sessions {
    /// @notice Creates a ledger for a token.
    constructor(IERC20 token) Sessions(token) {}

    /// @notice Opens a session.
    function open(address owner) external returns (uint256) {
        return _open(owner);
    }

    /// @notice Reserves the maximum fee of a request.
    function reserve(uint256 sessionId, address caller, uint256 most) external {
        _reserve(sessionId, caller, most);
    }

    /// @notice Pays for a response.
    function charge(uint256 sessionId, uint256 most, uint256 fee, address to) external {
        _charge(sessionId, most, fee, to);
    }

    /// @notice Closes a session.
    function close(uint256 sessionId, address caller) external {
        _close(sessionId, caller);
    }
}

/// @title Proof of what a session reserves, pays and refunds
contract ReferenceLedger {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);
    address private constant WORKER = address(0x30173);

    TestToken private token;
    Ledger private ledger;

    /// @notice Creates a ledger.
    function setUp() external {
        token = new TestToken("Token", "T", 18);
        ledger = new Ledger(token);
    }

    /// @notice A request is accepted exactly if the balance covers it and all pending requests, also
    ///         after a charge. The fee goes to the worker, the rest is refunded.
    function check_a_session_can_pay_for_all_its_requests(
        uint96 deposit,
        uint96 held,
        uint256 before,
        uint256 most,
        uint256 fee
    ) external {
        VM.assume(deposit != 0 && held != 0);
        token.mint(address(ledger), held);
        uint256 another = ledger.open(BOB);
        token.mint(address(ledger), deposit);
        uint256 sessionId = ledger.open(ALICE);
        VM.assume(before <= deposit);
        ledger.reserve(sessionId, ALICE, before);
        (bool made, ) = address(ledger).call(
            abi.encodeCall(Ledger.reserve, (sessionId, ALICE, most))
        );
        assert(made == (most <= deposit - before));
        VM.assume(made);
        assert(_reserved(sessionId) == before + most);
        VM.assume(fee <= before); // as the router ensures
        ledger.charge(sessionId, before, fee, WORKER);
        assert(_reserved(sessionId) == most);
        assert(most <= ledger.getSessionBalance(sessionId));
        assert(ledger.getSessionBalance(sessionId) == deposit - fee);
        assert(ledger.getSessionBalance(another) == held);
        ledger.close(sessionId, ALICE);
        assert(token.balanceOf(WORKER) == fee);
        assert(token.balanceOf(ALICE) == deposit - fee);
        assert(token.balanceOf(address(ledger)) == held);
    }

    function _reserved(uint256 sessionId) internal view virtual returns (uint256) {
        return ledger.getReserved(sessionId);
    }
}
