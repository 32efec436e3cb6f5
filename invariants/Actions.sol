// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AtomicSessions} from "@dtn/client/AtomicSessions.sol";
import {DtnClient} from "@dtn/client/DtnClient.sol";
import {DtnDefaults} from "@dtn/DtnDefaults.sol";
import {IDtnAi} from "@dtn/IDtnAi.sol";
import {ISessionManager} from "@dtn/network/interfaces/ISessionManager.sol";
import {Books} from "./Books.sol";
import {VM} from "./Cheats.sol";
import {IReserving, Network} from "./Network.sol";

/// @title All that anybody can do on a network, in any order
/// @notice Forge chooses who does what. An action that makes no sense now, as closing a session
///         where none is open, is dropped and not counted. All others have to come out as the books
///         say: done to the unit, or refused with the very reason that is expected.
contract Actions is Books {
    using Math for uint256;

    /// @notice What a request is to be like.
    /// @param model Which model is asked.
    /// @param trusted Which nodes may answer.
    /// @param redundancy How many answers are wanted; mostly one.
    /// @param most What it may cost.
    /// @param feeAsked What a byte asked costs.
    /// @param feeAnswered What a byte answered costs.
    /// @param user On whose behalf it is made, where the caller says so.
    struct Wish {
        uint256 model;
        uint256 trusted;
        uint256 redundancy;
        uint256 most;
        uint256 feeAsked;
        uint256 feeAnswered;
        uint256 user;
    }

    /// @notice A request, by the books.
    /// @param sessionId The session that pays.
    /// @param model The model's index.
    /// @param trusted The nodes that may answer, a bit for each.
    /// @param responded The nodes that have answered, a bit for each.
    /// @param responses How many have answered.
    /// @param redundancy How many answers are wanted.
    /// @param most What one answer may cost.
    /// @param feeAsked What a byte asked costs.
    /// @param feeAnswered What a byte answered costs.
    /// @param answer What its answer was, hashed; zero as long as there is none.
    struct BookedRequest {
        uint256 sessionId;
        uint256 model;
        uint256 trusted;
        uint256 responded;
        uint256 responses;
        uint32 redundancy;
        uint256 most;
        uint256 feeAsked;
        uint256 feeAnswered;
        bytes32 answer;
    }

    /// @notice What a node says of its answer.
    /// @param status SUCCESS, FAILURE or neither.
    /// @param asked The bytes asked.
    /// @param answered The bytes answered.
    struct Bill {
        IDtnAi.ResponseStatus status;
        uint256 asked;
        uint256 answered;
    }

    uint256 private constant CUSTOMERS = 4;
    uint256 private constant MOST_PAID = 100e6;
    uint256 private constant MOST_AT_ONCE = 4;
    uint256 private constant NODES = 2;
    uint256 private constant MODELS = 3;
    string private constant OF_ANOTHER_MODEL = "Node does not serve requested model";

    address[CUSTOMERS] private customers;
    address[NODES] private workers;
    address private thief;
    mapping(address account => uint256) private keys;
    mapping(address account => bool) private delegated;

    mapping(bytes32 requestId => BookedRequest) private requests;
    bytes32[] private requestIds;
    uint256 private authorizations;

    /// @dev Drops three of four.
    modifier seldom(uint256 which) {
        VM.assume(which % 4 == 0);
        _;
    }

    /// @notice Begins with nothing done, and everybody with funds. The first three customers have
    ///         clients, the last two have delegated their accounts: one is both.
    constructor(
        Network network_,
        bool isReference_,
        address[NODES] memory workers_
    ) Books(network_, isReference_) {
        workers = workers_;
        for (uint256 i = 0; i < CUSTOMERS; ++i) {
            uint256 key = uint256(keccak256(abi.encode("customer", i)));
            customers[i] = VM.addr(key);
            keys[customers[i]] = key;
            people.push(customers[i]);
            if (i < 3) _createClient(customers[i]);
            if (i >= 2) _delegate(customers[i]);
        }
        thief = address(0x7417ef);
        people.push(thief);
        for (uint256 i = 0; i < NODES; ++i) people.push(workers[i]);
        for (uint256 i = 0; i < people.length; ++i) token.mint(people[i], FUNDS);
    }

    // Two bare transactions.

    function deposit(uint256 who, uint256 amount) external {
        _pay(_person(who), address(manager), _amount(amount));
    }

    function claim(uint256 who) external {
        _startBare(customers[who % CUSTOMERS]);
    }

    function steal() external {
        _startBare(thief);
    }

    function startWithNothing(uint256 who) external {
        VM.assume(_unclaimed() == 0);
        bytes memory reason = abi.encodeWithSelector(ISessionManager.InvalidAmount.selector);
        _refused(
            _person(who),
            address(router),
            abi.encodeCall(IDtnAi.startUserSession, ()),
            reason
        );
    }

    // One transaction.

    function startByAllowance(uint256 who, uint256 amount) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        // More than is needed, so that there is something for strangers to try.
        _succeed(
            account,
            address(token),
            abi.encodeCall(IERC20.approve, (address(client), 2 * amount))
        );
        _startAtOnce(
            address(client),
            abi.encodeCall(AtomicSessions.start, (router, amount)),
            amount
        );
    }

    function startByPermit(uint256 who, uint256 amount, bool seen) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        bytes32 kind = token.PERMIT_TYPEHASH();
        uint256 deadline = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _sign(
            account,
            abi.encode(kind, account, client, amount, token.nonces(account), deadline)
        );
        if (seen) {
            _succeed(
                thief,
                address(token),
                abi.encodeCall(
                    IERC20Permit.permit,
                    (account, address(client), amount, deadline, v, r, s)
                )
            );
        }
        _startAtOnce(
            address(client),
            abi.encodeCall(DtnClient.startWithPermit, (router, amount, deadline, v, r, s)),
            amount
        );
    }

    function startByAuthorization(uint256 who, uint256 amount, bool seen) external {
        (address account, DtnClient client) = _client(who);
        amount = _amount(amount);
        bytes32 kind = token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH();
        bytes32 nonce = bytes32(++authorizations);
        uint256 end = block.timestamp + 1;
        (uint8 v, bytes32 r, bytes32 s) = _sign(
            account,
            abi.encode(kind, account, client, amount, 0, end, nonce)
        );
        if (seen) {
            _refused(
                thief,
                address(token),
                abi.encodeCall(
                    IERC3009.receiveWithAuthorization,
                    (account, address(client), amount, 0, end, nonce, v, r, s)
                ),
                _error("FiatTokenV2: caller must be the payee")
            );
        }
        _startAtOnce(
            address(client),
            abi.encodeCall(
                DtnClient.startWithAuthorization,
                (router, amount, 0, end, nonce, v, r, s)
            ),
            amount
        );
    }

    function startFromHere(uint256 who, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        uint256 before = token.balanceOf(address(client));
        bytes memory start = abi.encodeCall(DtnClient.startFromHere, (router, amount));
        _start(address(client), start, amount);
        require(token.balanceOf(address(client)) == before - amount, "The client paid otherwise");
    }

    function startByDelegate(uint256 who, uint256 amount) external {
        address account = customers[2 + (who % 2)];
        amount = _amount(amount);
        bytes memory start = abi.encodeCall(AtomicSessions.start, (router, amount));
        _start(account, start, amount);
    }

    // Asking.

    function ask(uint256 which, Wish calldata wish) external {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, wish, 1);
        bytes memory returned = _succeed(owner, address(router), _directly(draft, wish.user % 2));
        _asked(abi.decode(returned, (bytes32)), draft, false);
    }

    function askByClient(uint256 which, Wish calldata wish) external {
        _askApart(_sessionOf(which, _isClient), wish);
    }

    function askByDelegate(uint256 which, Wish calldata wish) external {
        _askApart(_sessionOf(which, _isDelegated), wish);
    }

    function askManyByClient(uint256 which, uint256 howMany, Wish calldata wish) external {
        _askMany(_sessionOf(which, _isClient), howMany, wish);
    }

    function askManyByDelegate(uint256 which, uint256 howMany, Wish calldata wish) external {
        _askMany(_sessionOf(which, _isDelegated), howMany, wish);
    }

    /// @dev Where the network does not mind, the node is paid what is left.
    function askTooMuch(uint256 which, Wish calldata wish) external {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, wish, 1);
        (draft.redundancy, draft.most) = (1, _left(sessionId) + 1 + (wish.most % MOST_PAID));
        bytes memory call = _directly(draft, wish.user % 2);
        if (!isReference) {
            _asked(abi.decode(_succeed(owner, address(router), call), (bytes32)), draft, false);
            return;
        }
        bytes memory reason = abi.encodeWithSignature(
            "InsufficientFunds(uint256,uint256,uint256)",
            sessionId,
            draft.most,
            _available(sessionId)
        );
        _refused(owner, address(router), call, reason);
    }

    function askOnSessionOfAnother(uint256 who, uint256 which, Wish calldata wish) external {
        uint256 sessionId = _openSession(which);
        address stranger = _person(who);
        VM.assume(stranger != booked[sessionId - 1].owner);
        bytes memory call = _directly(_draft(sessionId, wish, 1), wish.user % 2);
        bytes memory reason = isReference
            ? abi.encodeWithSignature("SessionNotFound(uint256)", sessionId)
            : _error("Session not related to the user");
        _refused(stranger, address(router), call, reason);
    }

    // Answering.

    function answer(uint256 which, uint256 status, uint16 asked, uint16 answered) external {
        _answer(which, Bill(IDtnAi.ResponseStatus(status % 3), asked, answered));
    }

    function answerStatingHugeSizes(uint256 which, uint256 status, uint128 asked) external {
        Bill memory bill = Bill(IDtnAi.ResponseStatus(status % 3), asked, type(uint128).max);
        _answer(which, bill);
    }

    function answerStatingImpossibleSizes(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnswerable);
        Bill memory bill = Bill(IDtnAi.ResponseStatus.FAILURE, type(uint256).max, 1);
        if (isReference) {
            _answerBy(id, node, bill);
            return;
        }
        bytes memory overflow = abi.encodeWithSignature("Panic(uint256)", 0x11);
        _refused(workers[node], address(router), _response(id, node, bill), overflow);
    }

    function answerTwice(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnsweredBy);
        string memory reason = _isCompleted(requests[id])
            ? "Request already completed"
            : "Node already responded";
        _refused(workers[node], address(router), _response(id, node, _smallBill()), _error(reason));
    }

    /// @dev Where the answers would have to be made into one, which no network can do. One refuses
    ///      to be asked for that, the other to be answered.
    function inVain(uint256 which, Wish calldata wish) external {
        bytes memory reason = _error("Response strategy not implemented");
        if (isReference) {
            uint256 sessionId = _sessionOf(which, _isAccount);
            address owner = booked[sessionId - 1].owner;
            BookedRequest memory draft = _draft(sessionId, wish, 1);
            draft.redundancy = wish.redundancy % 2 == 0 ? 0 : 2;
            _refused(owner, address(router), _directly(draft, wish.user % 2), reason);
            return;
        }
        (bytes32 id, uint256 node) = _requestThat(which, _isNeverCompleted);
        _refused(workers[node], address(router), _response(id, node, _smallBill()), reason);
    }

    function answerAfterClose(uint256 which) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isStranded);
        string memory signature = isReference
            ? "SessionAlreadyClosed(uint256)"
            : "InvalidSession(uint256)";
        bytes memory reason = abi.encodeWithSignature(signature, requests[id].sessionId);
        _refused(workers[node], address(router), _response(id, node, _smallBill()), reason);
    }

    function answerUninvited(uint256 which, uint256 who) external {
        (bytes32 id, uint256 node) = _requestThat(which, _isUnanswered);
        address caller = _person(who);
        BookedRequest storage asked = requests[id];
        string memory reason;
        if (caller != workers[node]) reason = "Not the node worker";
        else if (isReference && !network.serves(node, asked.model)) reason = OF_ANOTHER_MODEL;
        else if (!_has(asked.trusted, node)) reason = "Node does not have required trust namespace";
        else if (!network.serves(node, asked.model)) reason = OF_ANOTHER_MODEL;
        else VM.assume(false);
        _refused(caller, address(router), _response(id, node, _smallBill()), _error(reason));
    }

    // Closing, which comes seldom, so that sessions live and have something to pay.

    function close(uint256 which) external seldom(which) {
        uint256 sessionId = _sessionOf(which, _isAccount);
        address owner = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _close(owner, address(router), call, sessionId, owner);
    }

    function closeByClient(uint256 which) external seldom(which) {
        uint256 sessionId = _sessionOf(which, _isClient);
        address client = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(AtomicSessions.close, (router, sessionId));
        _close(accountOf[client], client, call, sessionId, accountOf[client]);
    }

    function closeByDelegate(uint256 which) external seldom(which) {
        uint256 sessionId = _sessionOf(which, _isDelegated);
        address account = booked[sessionId - 1].owner;
        bytes memory call = abi.encodeCall(AtomicSessions.close, (router, sessionId));
        _close(account, account, call, sessionId, account);
    }

    function closeTo(uint256 which, uint256 to) external seldom(which) {
        uint256 sessionId = _sessionOf(which, _isClient);
        address client = booked[sessionId - 1].owner;
        address recipient = _recipient(to);
        bytes memory call = abi.encodeCall(
            DtnClient.closeTo,
            (router, _one(sessionId), recipient)
        );
        _close(accountOf[client], client, call, sessionId, recipient);
    }

    function closeAll(uint256 which) external seldom(which) {
        uint256 sessionId = _sessionOf(which, _isAtomic);
        address owner = booked[sessionId - 1].owner;
        address account = _principal(owner);
        uint256[] memory ids = manager.getUserSessionIds(owner);
        uint256 due = token.balanceOf(account);
        for (uint256 i = 0; i < ids.length; ++i) due += _left(ids[i]);
        uint256 kept = owner == account ? due : token.balanceOf(owner);
        _succeed(account, owner, abi.encodeCall(AtomicSessions.closeMany, (router, ids)));
        for (uint256 i = 0; i < ids.length; ++i) _closed(ids[i]);
        require(token.balanceOf(account) == due, "The refund is not where it should be");
        require(token.balanceOf(owner) == kept, "The client kept something");
    }

    function closeTwice(uint256 which) external {
        VM.assume(booked.length > 0);
        uint256 sessionId = 1 + (which % booked.length);
        BookedSession storage session = booked[sessionId - 1];
        VM.assume(session.closed);
        bytes memory reason = isReference
            ? abi.encodeWithSignature("SessionAlreadyClosed(uint256)", sessionId)
            : abi.encodeWithSelector(ISessionManager.Unauthorized.selector, router, address(0));
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _refused(_principal(session.owner), address(router), call, reason);
    }

    function closeSessionOfAnother(uint256 who, uint256 which) external {
        uint256 sessionId = _openSession(which);
        address owner = booked[sessionId - 1].owner;
        address stranger = _person(who);
        VM.assume(stranger != owner);
        bytes memory reason = isReference
            ? abi.encodeWithSignature("SessionNotFound(uint256)", sessionId)
            : abi.encodeWithSelector(ISessionManager.Unauthorized.selector, router, owner);
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _refused(stranger, address(router), call, reason);
    }

    // What is in a client.

    function give(uint256 who, uint256 to, uint256 amount) external {
        _pay(_person(who), _recipient(to), _amount(amount));
    }

    function fillClient(uint256 who, uint256 from, uint256 amount) external {
        (, DtnClient client) = _client(who);
        _pay(_person(from), address(client), _amount(amount));
    }

    function sweep(uint256 who) external {
        (address account, DtnClient client) = _client(who);
        uint256 held = token.balanceOf(address(client));
        VM.assume(held > 0);
        bytes memory call = abi.encodeCall(DtnClient.sweep, (address(token)));
        _sent(address(client), call, account, held);
    }

    function sweepTo(uint256 who, uint256 to, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        address recipient = _recipient(to);
        bytes memory call = abi.encodeCall(
            DtnClient.sweepTo,
            (address(token), recipient, amount)
        );
        _sent(address(client), call, recipient, amount);
    }

    function execute(uint256 who, uint256 to, uint256 amount) external {
        (, DtnClient client) = _client(who);
        amount = _upTo(amount, token.balanceOf(address(client)));
        address recipient = _recipient(to);
        bytes memory transfer = abi.encodeCall(IERC20.transfer, (recipient, amount));
        bytes memory call = abi.encodeCall(
            DtnClient.execute,
            (address(token), 0, transfer)
        );
        _sent(address(client), call, recipient, amount);
    }

    // Strangers, who would get something, were they let in.

    function trespassOnClient(uint256 who, uint256 by, uint256 how, uint256 amount) external {
        (address account, DtnClient client) = _client(who);
        _trespass(account, address(client), _person(by), _takings(client, by, amount), how);
    }

    function trespassOnDelegate(uint256 who, uint256 by, uint256 how, uint256 amount) external {
        address account = customers[2 + (who % 2)];
        _trespass(account, account, _person(by), _uses(account, _amount(amount)), how);
    }

    function wait(uint256 time) external {
        VM.warp(block.timestamp + 1 + (time % 1 days));
    }

    /// @notice What comes last: whatever was done before, all can go on, and all get what is theirs.
    function finish() external {
        _everyRequestIsAsBooked();
        _newcomerIsServed();
        _everyRequestIsAnswered();
        _everySessionIsClosed();
        _everyRequestIsAsBooked();
        require(token.balanceOf(address(manager)) == _unclaimed(), "Tokens are stuck");
        if (_unclaimed() > 0) _startBare(thief);
        _everySessionIsClosed();
        require(token.balanceOf(address(manager)) == 0, "A deposit is stuck");
    }

    /// @dev Somebody who was never here before opens a session, is answered, and closes it.
    function _newcomerIsServed() private {
        address newcomer = address(0x4e3);
        people.push(newcomer);
        token.mint(newcomer, FUNDS);
        uint256 due = _unclaimed() + MOST_PAID;
        _pay(newcomer, address(manager), MOST_PAID);
        _startBare(newcomer);
        uint256 sessionId = booked.length;
        BookedRequest memory draft;
        (draft.sessionId, draft.model, draft.trusted, draft.redundancy) = (sessionId, 1, 3, 1);
        (draft.most, draft.feeAsked, draft.feeAnswered) = (MOST_PAID, 1, 1);
        bytes memory returned = _succeed(newcomer, address(router), _directly(draft, 0));
        bytes32 id = abi.decode(returned, (bytes32));
        _asked(id, draft, true);
        _answerBy(id, 1, _smallBill());
        bytes memory call = abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
        _close(newcomer, address(router), call, sessionId, newcomer);
        uint256 left = token.balanceOf(newcomer);
        require(left == FUNDS - MOST_PAID + due - 2, "A newcomer paid other than the fee");
    }

    function _everyRequestIsAnswered() private {
        for (uint256 i = 0; i < requestIds.length; ++i) {
            for (uint256 node = 0; node < NODES; ++node) {
                if (!_isAnswerable(requests[requestIds[i]], node)) continue;
                _answerBy(requestIds[i], node, _smallBill());
            }
        }
    }

    /// @dev By their owners themselves, and each gets what its session has left.
    function _everySessionIsClosed() private {
        while (open.length > 0) {
            uint256 sessionId = open[open.length - 1];
            address owner = booked[sessionId - 1].owner;
            address account = _principal(owner);
            bytes memory call = _isClient(owner)
                ? abi.encodeCall(AtomicSessions.close, (router, sessionId))
                : abi.encodeCall(IDtnAi.closeUserSession, (sessionId));
            _close(account, _isClient(owner) ? owner : address(router), call, sessionId, account);
        }
    }

    /// @dev Whoever was answered still has that answer, and no other; each is listed as it was
    ///      made, and once where ids are unique.
    function _everyRequestIsAsBooked() private view {
        bytes32[] memory made = router.getPendingRequests(0, requestsMade);
        require(!isReference || made.length == requestIds.length, "Two requests share an id");
        for (uint256 i = 0; i < made.length; ++i) {
            require(
                isReference ? made[i] == requestIds[i] : requests[made[i]].sessionId != 0,
                "A request is listed that was not made"
            );
            BookedRequest storage asked = requests[made[i]];
            require(_answerTo(made[i]) == asked.answer, "An answer is other than it was given");
            require(
                router.getRequest(made[i]).sessionId == asked.sessionId,
                "A request is other than it was made"
            );
        }
        bytes32[] memory completed = router.getCompletedRequests(0, requestsCompleted);
        if (!isReference) return; // there, a request that had the same id was completed before
        for (uint256 i = 0; i < completed.length; ++i) {
            require(_isCompleted(requests[completed[i]]), "A request is listed as completed");
            for (uint256 j = 0; j < i; ++j) {
                require(completed[i] != completed[j], "A request was completed twice");
            }
        }
    }

    function _answerTo(bytes32 id) private view returns (bytes32) {
        try router.fetchResponse(id) returns (
            IDtnAi.ResponseStatus status,
            string memory,
            bytes memory response
        ) {
            return _hash(status, response);
        } catch {
            return bytes32(0);
        }
    }

    // How it is done, and booked.

    function _createClient(address account) private {
        DtnClient client = DtnClient(payable(network.createClient(account)));
        clientOf[account] = client;
        accountOf[address(client)] = account;
    }

    function _delegate(address account) private {
        delegated[account] = true;
        VM.signAndAttachDelegation(network.delegate(), keys[account]);
    }

    function _startBare(address account) private {
        VM.assume(_unclaimed() > 0);
        bytes memory call = abi.encodeCall(IDtnAi.startUserSession, ());
        _opened(account, abi.decode(_succeed(account, address(router), call), (uint256)));
    }

    /// @dev By a client, which has to keep nothing.
    function _startAtOnce(address client, bytes memory call, uint256 amount) private {
        uint256 kept = token.balanceOf(client);
        _start(client, call, amount);
        require(token.balanceOf(client) == kept, "The client kept something");
    }

    function _start(address owner, bytes memory call, uint256 amount) private {
        uint256 due = _unclaimed() + amount;
        uint256 sessionId = abi.decode(_succeed(_principal(owner), owner, call), (uint256));
        require(_opened(owner, sessionId) == due, "The session holds other than was paid for it");
    }

    function _askApart(uint256 sessionId, Wish calldata wish) private {
        address owner = booked[sessionId - 1].owner;
        BookedRequest memory draft = _draft(sessionId, wish, 1);
        bytes memory call = abi.encodeCall(
            AtomicSessions.request,
            (
                router,
                sessionId,
                network.models(draft.model),
                _routing(draft),
                _request(draft),
                DtnDefaults.noCallback(),
                0
            )
        );
        bytes memory returned = _succeed(_principal(owner), owner, call);
        _asked(abi.decode(returned, (bytes32)), draft, true);
    }

    function _askMany(uint256 sessionId, uint256 howMany, Wish calldata wish) private {
        address owner = booked[sessionId - 1].owner;
        howMany = 1 + (howMany % MOST_AT_ONCE);
        BookedRequest memory draft = _draft(sessionId, wish, howMany);
        IDtnAi.DtnRequest[] memory asked = new IDtnAi.DtnRequest[](howMany);
        for (uint256 i = 0; i < howMany; ++i) asked[i] = _request(draft);
        bytes memory call = abi.encodeCall(
            AtomicSessions.requestMany,
            (
                router,
                sessionId,
                network.models(draft.model),
                _routing(draft),
                asked,
                DtnDefaults.noCallback(),
                0
            )
        );
        bytes memory returned = _succeed(_principal(owner), owner, call);
        bytes32[] memory ids = abi.decode(returned, (bytes32[]));
        require(ids.length == howMany, "Other than all were asked");
        for (uint256 i = 0; i < howMany; ++i) _asked(ids[i], draft, true);
    }

    function _asked(bytes32 id, BookedRequest memory draft, bool apart) private {
        BookedRequest storage before = requests[id];
        if (before.sessionId == 0) requestIds.push(id);
        else require(!isReference && !apart, "Two requests share an id");
        // The network forgets the request that had the id, but not who has answered it.
        draft.responded = before.responded;
        requests[id] = draft;
        requestsMade += 1;
        _promised(draft.sessionId, draft.most, Math.max(draft.redundancy, 1));
    }

    function _answer(uint256 which, Bill memory bill) private {
        (bytes32 id, uint256 node) = _requestThat(which, _isAnswerable);
        _answerBy(id, node, bill);
    }

    function _answerBy(bytes32 id, uint256 node, Bill memory bill) private {
        BookedRequest storage asked = requests[id];
        _succeed(workers[node], address(router), _response(id, node, bill));
        uint256 fee = bill.status == IDtnAi.ResponseStatus.SUCCESS
            ? bill.asked * asked.feeAsked + bill.answered * asked.feeAnswered
            : bill.asked.saturatingAdd(bill.answered);
        uint256 charge = Math.min(Math.min(fee, asked.most), _left(asked.sessionId));
        _charged(asked.sessionId, charge, asked.most, workers[node]);
        asked.responded |= 1 << node;
        asked.responses += 1;
        if (asked.redundancy != 1) return;
        asked.answer = _hash(bill.status, abi.encode(requestsCompleted));
        requestsCompleted += 1;
    }

    function _close(
        address caller,
        address target,
        bytes memory call,
        uint256 sessionId,
        address to
    ) private {
        address owner = booked[sessionId - 1].owner;
        uint256 due = token.balanceOf(to) + _left(sessionId);
        uint256 kept = owner == to ? due : token.balanceOf(owner);
        // What goes back to the network only changes hands there.
        if (to == address(manager)) due -= _left(sessionId);
        _succeed(caller, target, call);
        _closed(sessionId);
        require(token.balanceOf(to) == due, "The refund is not where it should be");
        require(token.balanceOf(owner) == kept, "The client kept something");
    }

    function _pay(address from, address to, uint256 amount) private {
        _succeed(from, address(token), abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// @dev Out of a client, by its owner.
    function _sent(address client, bytes memory call, address to, uint256 amount) private {
        uint256 due = token.balanceOf(to) + (to == client ? 0 : amount);
        _succeed(accountOf[client], client, call);
        require(token.balanceOf(to) == due, "It is not where it was sent");
    }

    function _trespass(
        address owner,
        address target,
        address stranger,
        bytes[] memory calls,
        uint256 how
    ) private {
        VM.assume(stranger != owner);
        bytes memory reason = abi.encodeWithSelector(AtomicSessions.NotOwner.selector, stranger);
        _refused(stranger, target, calls[how % calls.length], reason);
    }

    /// @dev Calls that use somebody's tokens and sessions.
    function _uses(address of_, uint256 amount) private view returns (bytes[] memory calls) {
        uint256[] memory ids = manager.getUserSessionIds(of_);
        uint256 id = ids.length == 0 ? 1 : ids[0];
        BookedRequest memory draft;
        (draft.sessionId, draft.trusted, draft.redundancy) = (id, 1, 1);
        IDtnAi.DtnRequest[] memory asked = new IDtnAi.DtnRequest[](1);
        asked[0] = _request(draft);
        IDtnAi.CallBack memory none = DtnDefaults.noCallback();
        bytes32 model = network.models(0);
        calls = new bytes[](5);
        calls[0] = abi.encodeCall(AtomicSessions.start, (router, amount));
        calls[1] = abi.encodeCall(
            AtomicSessions.request,
            (router, id, model, _routing(draft), asked[0], none, 0)
        );
        calls[2] = abi.encodeCall(
            AtomicSessions.requestMany,
            (router, id, model, _routing(draft), asked, none, 0)
        );
        calls[3] = abi.encodeCall(AtomicSessions.close, (router, id));
        calls[4] = abi.encodeCall(AtomicSessions.closeMany, (router, ids));
    }

    /// @dev Those, and calls that take what is in a client.
    function _takings(
        DtnClient client,
        uint256 by,
        uint256 amount
    ) private view returns (bytes[] memory calls) {
        address to = _person(by);
        uint256 held = token.balanceOf(address(client));
        bytes[] memory uses = _uses(address(client), _amount(amount));
        calls = new bytes[](uses.length + 7);
        for (uint256 i = 0; i < uses.length; ++i) calls[i] = uses[i];
        uint256 next = uses.length;
        uint256[] memory ids = manager.getUserSessionIds(address(client));
        calls[next++] = abi.encodeCall(DtnClient.startFromHere, (router, held));
        calls[next++] = abi.encodeCall(DtnClient.closeTo, (router, ids, to));
        calls[next++] = abi.encodeCall(DtnClient.sweep, (address(token)));
        calls[next++] = abi.encodeCall(DtnClient.sweepTo, (address(token), to, held));
        calls[next++] = abi.encodeCall(
            DtnClient.execute,
            (address(token), 0, abi.encodeCall(IERC20.transfer, (to, held)))
        );
        // Without a signature: where there is an allowance, a permit needs none.
        calls[next++] = abi.encodeCall(
            DtnClient.startWithPermit,
            (router, _amount(amount), 0, 27, 0, 0)
        );
        calls[next++] = abi.encodeCall(
            DtnClient.startWithAuthorization,
            (router, _amount(amount), 0, block.timestamp + 1, 0, 27, 0, 0)
        );
    }

    function _sign(
        address account,
        bytes memory given
    ) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 domain = token.DOMAIN_SEPARATOR();
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, keccak256(given)));
        return VM.sign(keys[account], digest);
    }

    // What is asked and answered.

    /// @dev A request that its session can pay for as often as it is made.
    function _draft(
        uint256 sessionId,
        Wish calldata wish,
        uint256 howMany
    ) private view returns (BookedRequest memory draft) {
        uint256 redundancy = wish.redundancy % 16;
        draft.sessionId = sessionId;
        draft.model = wish.model % MODELS;
        draft.trusted = 1 + (wish.trusted % 3);
        draft.redundancy = redundancy < 4 && !isReference ? uint32(redundancy) : 1;
        uint256 answers = howMany * Math.max(draft.redundancy, 1);
        draft.most = wish.most % (_available(sessionId) / 2 / answers + 1);
        draft.feeAsked = wish.feeAsked % 1_000;
        draft.feeAnswered = wish.feeAnswered % 1_000;
    }

    function _directly(
        BookedRequest memory draft,
        uint256 user
    ) private view returns (bytes memory) {
        return
            abi.encodeCall(
                IDtnAi.request,
                (
                    draft.sessionId,
                    network.models(draft.model),
                    _routing(draft),
                    _request(draft),
                    DtnDefaults.noCallback(),
                    address(uint160(user)),
                    0
                )
            );
    }

    function _routing(
        BookedRequest memory draft
    ) private view returns (IDtnAi.DtnRouting memory routing) {
        bytes32[] memory both = new bytes32[](2);
        (both[0], both[1]) = (network.nodes(0), network.nodes(1));
        routing = DtnDefaults.anyOf(
            draft.trusted == 3 ? both : DtnDefaults.one(both[draft.trusted - 1])
        );
        routing.redundancy = draft.redundancy;
    }

    function _request(
        BookedRequest memory draft
    ) private pure returns (IDtnAi.DtnRequest memory asked) {
        asked = DtnDefaults.text("Hello?", draft.feeAsked, draft.most);
        asked.feePerByteRes = draft.feeAnswered;
    }

    function _response(
        bytes32 id,
        uint256 node,
        Bill memory bill
    ) private view returns (bytes memory) {
        return
            abi.encodeCall(
                IDtnAi.respondToRequest,
                (
                    id,
                    bill.status,
                    "",
                    abi.encode(requestsCompleted),
                    network.nodes(node),
                    bill.asked,
                    bill.answered
                )
            );
    }

    function _hash(
        IDtnAi.ResponseStatus status,
        bytes memory response
    ) private pure returns (bytes32) {
        return keccak256(abi.encode(status, response));
    }

    function _smallBill() private pure returns (Bill memory) {
        return Bill(IDtnAi.ResponseStatus.SUCCESS, 1, 1);
    }

    function _available(uint256 sessionId) private view returns (uint256) {
        // Twice as much as is there, where the network does not mind.
        if (!isReference) return 2 * _left(sessionId);
        return _left(sessionId) - IReserving(address(manager)).getReserved(sessionId);
    }

    // Which requests.

    /// @dev The first request and node of which it is so, from a random one on.
    function _requestThat(
        uint256 which,
        function(BookedRequest storage, uint256) view returns (bool) isSo
    ) private view returns (bytes32 id, uint256 node) {
        uint256 count = requestIds.length * NODES;
        for (uint256 i = 0; i < count; ++i) {
            uint256 candidate = addmod(which, i, count);
            (id, node) = (requestIds[candidate / NODES], candidate % NODES);
            if (isSo(requests[id], node)) return (id, node);
        }
        VM.assume(false);
    }

    function _isAnswerable(BookedRequest storage asked, uint256 node) private view returns (bool) {
        return _isInvited(asked, node) && !_isClosed(asked) && _isWithinReach(asked);
    }

    function _isNeverCompleted(
        BookedRequest storage asked,
        uint256 node
    ) private view returns (bool) {
        return _isInvited(asked, node) && !_isClosed(asked) && !_isWithinReach(asked);
    }

    function _isStranded(BookedRequest storage asked, uint256 node) private view returns (bool) {
        return _isInvited(asked, node) && _isClosed(asked);
    }

    function _isUnanswered(BookedRequest storage asked, uint256 node) private view returns (bool) {
        return !_isCompleted(asked) && !_has(asked.responded, node);
    }

    function _isCompleted(BookedRequest storage asked) private view returns (bool) {
        return asked.answer != bytes32(0);
    }

    function _isAnsweredBy(BookedRequest storage asked, uint256 node) private view returns (bool) {
        return _has(asked.responded, node);
    }

    function _isInvited(BookedRequest storage asked, uint256 node) private view returns (bool) {
        return
            _isUnanswered(asked, node) &&
            _has(asked.trusted, node) &&
            network.serves(node, asked.model);
    }

    function _isClosed(BookedRequest storage asked) private view returns (bool) {
        return booked[asked.sessionId - 1].closed;
    }

    /// @dev The only answer, or not the last of several.
    function _isWithinReach(BookedRequest storage asked) private view returns (bool) {
        return asked.redundancy == 1 || asked.responses + 1 < asked.redundancy;
    }

    function _has(uint256 bits, uint256 node) private pure returns (bool) {
        return (bits >> node) & 1 == 1;
    }

    // Which sessions.

    function _openSession(uint256 which) private view returns (uint256) {
        VM.assume(open.length > 0);
        return open[which % open.length];
    }

    /// @dev The first whose owner is so, from a random one on.
    function _sessionOf(
        uint256 which,
        function(address) view returns (bool) isSo
    ) private view returns (uint256 sessionId) {
        for (uint256 i = 0; i < open.length; ++i) {
            sessionId = open[addmod(which, i, open.length)];
            if (isSo(booked[sessionId - 1].owner)) return sessionId;
        }
        VM.assume(false);
    }

    function _isClient(address owner) private view returns (bool) {
        return accountOf[owner] != address(0);
    }

    function _isAccount(address owner) private view returns (bool) {
        return !_isClient(owner);
    }

    function _isDelegated(address owner) private view returns (bool) {
        return delegated[owner];
    }

    function _isAtomic(address owner) private view returns (bool) {
        return _isClient(owner) || _isDelegated(owner);
    }

    // Who, and how much.

    function _person(uint256 who) private view returns (address) {
        return people[who % people.length];
    }

    function _client(uint256 who) private view returns (address account, DtnClient client) {
        account = customers[who % 3];
        return (account, clientOf[account]);
    }

    /// @dev Any account, client, or the network itself.
    function _recipient(uint256 to) private view returns (address) {
        to %= people.length + 4;
        if (to < people.length) return people[to];
        if (to < people.length + 3) return address(clientOf[customers[to - people.length]]);
        return address(manager);
    }

    function _amount(uint256 seed) private pure returns (uint256) {
        return 1 + (seed % MOST_PAID);
    }

    function _upTo(uint256 seed, uint256 most) private pure returns (uint256) {
        VM.assume(most > 0);
        return 1 + (seed % most);
    }

    function _one(uint256 value) private pure returns (uint256[] memory array) {
        array = new uint256[](1);
        array[0] = value;
    }

    function _error(string memory reason) private pure returns (bytes memory) {
        return abi.encodeWithSignature("Error(string)", reason);
    }
}
