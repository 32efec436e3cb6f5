"""All public errors, imported from the packages that raise them.

Every error is a :class:`DtnError`, which is an ``ApeException``, so that Ape prints it without a
traceback. Both variants of the contracts raise the same classes, whether the operation is refused
before it is sent, at the gas estimate, or when it is mined.

``code`` is the machine-readable cause, ``exit_code`` the exit code of ``ape dtn``, and ``hint``
says what to do next. If a contract reverted, ``revert`` has its decoded error and raw data.

.. code-block:: text

    DtnError
      BadInput
        InvalidAmount
          TooManyDecimals
          WrongToken
        EmptyPrompt
        InvalidPrompt
        InvalidName
        InvalidAddress
        InvalidCall
        MissingExtra
        NotWritten
        InvalidOption
        NoAccount
        InvalidCid
        FilesExist
        NotNodeOwner
        InvalidCursor
        KeyReused
        NotCancellable
        InvalidBackend
        NoBackend
        NotTheWorker
        FeeTooHigh
        NobodyTrusted
        DeploymentUnusable
        DeploymentDiffers
        UnknownContract
        UnknownMethod
        CassetteUnusable
      NoNetwork
        NotConnected
        ChainUnreachable
        RpcRefused
          TransactionRefused
        WrongChain
        NotLocal
        NoContractAtAddress
        UnknownChain
        CannotFork
        StateFixed
      Refused
        ContractReverted
        GasTooExpensive
        TransactionTooLarge
        NoMoneyForGas
        SigningDeclined
        OwnersMissing
        SessionNotFound
          SessionAlreadyClosed
          NotSessionOwner
        InsufficientFunds
        NothingDeposited
        DepositTaken
        DepositTaxed
        PaymentRefused
          TokenPaused
          AccountBlocked
        NotClientOwner
        ModelNotFound
        NodeNotFound
        NodesNotListed
        RequestNotFound
        CallbackGasMissing
        OverLimit
        UnsafeDeposit
        MethodUnavailable
        CannotComplete
          NobodyCanAnswer
          NodeUnavailable
        RequestReplaced
        RequestsPending
        ConsentMissing
        NoRemedy
        RefusedBefore
      CallbackFailed
        CallbackOutOfGas
      UndecodableAnswer
      PartlySent
      TransactionPending
      BackendFailed
        BackendUnavailable
          StoreUnavailable
        StoreRefused
          WrongCid
      ContentUnavailable
        WrongContent
        ContentTooLarge
      DepositWaiting
      RequestPending
        RequestStranded
      NodeFailure
      JournalUnusable
      NoEffect
      PaymentCancelled
      WalletPending
      LedgerUnusable
      DevnetFailed
        AnvilMissing
        AnvilFailed
        PortTaken
        StateUnusable
      NotRecorded
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ape_dtn.answers.errors import InvalidCursor, NodeFailure, RequestStranded
    from ape_dtn.chain.errors import (
        ChainUnreachable,
        ContractReverted,
        GasTooExpensive,
        NoContractAtAddress,
        NoMoneyForGas,
        NotConnected,
        NotLocal,
        OwnersMissing,
        PartlySent,
        RpcRefused,
        SigningDeclined,
        TransactionPending,
        TransactionRefused,
        TransactionTooLarge,
        WrongChain,
    )
    from ape_dtn.deployment.errors import DeploymentDiffers, DeploymentUnusable
    from ape_dtn.devnet.errors import (
        AnvilFailed,
        AnvilMissing,
        CannotFork,
        DevnetFailed,
        PortTaken,
        StateUnusable,
    )
    from ape_dtn.funding.errors import MethodUnavailable, UnsafeDeposit
    from ape_dtn.ipfs.errors import (
        BackendFailed,
        BackendUnavailable,
        ContentTooLarge,
        ContentUnavailable,
        InvalidCid,
        StoreRefused,
        StoreUnavailable,
        WrongCid,
        WrongContent,
    )
    from ape_dtn.journal.errors import (
        JournalUnusable,
        KeyReused,
        NoEffect,
        NotCancellable,
        OverLimit,
        PaymentCancelled,
        RefusedBefore,
        WalletPending,
    )
    from ape_dtn.network.errors import (
        AccountBlocked,
        CallbackGasMissing,
        DepositTaken,
        DepositTaxed,
        DepositWaiting,
        InsufficientFunds,
        ModelNotFound,
        NodeNotFound,
        NodesNotListed,
        NodeState,
        NotClientOwner,
        NothingDeposited,
        NotNodeOwner,
        NotSessionOwner,
        Offer,
        PaymentRefused,
        RequestNotFound,
        RequestPending,
        SessionAlreadyClosed,
        SessionNotFound,
        TokenPaused,
        UnknownChain,
    )
    from ape_dtn.node.errors import InvalidBackend, LedgerUnusable, NoBackend, NotTheWorker
    from ape_dtn.rehearsal.errors import UnknownContract, UnknownMethod
    from ape_dtn.requests.errors import (
        CannotComplete,
        FeeTooHigh,
        NobodyCanAnswer,
        NobodyTrusted,
        NodeUnavailable,
        RequestReplaced,
    )
    from ape_dtn.rescue.errors import ConsentMissing, NoRemedy
    from ape_dtn.scaffold.errors import FilesExist
    from ape_dtn.sessions.errors import RequestsPending
    from ape_dtn.testing.errors import CassetteUnusable, NotRecorded, StateFixed
    from ape_dtn.types.errors import (
        BAD_INPUT,
        NO_ANSWER_YET,
        NO_NETWORK,
        NODE_FAILED,
        REFUSED,
        UNKNOWN_OUTCOME,
        BadInput,
        CallbackFailed,
        CallbackOutOfGas,
        DtnError,
        EmptyPrompt,
        InvalidAddress,
        InvalidAmount,
        InvalidCall,
        InvalidName,
        InvalidOption,
        InvalidPrompt,
        MissingExtra,
        NoAccount,
        NoNetwork,
        NotWritten,
        Refused,
        TooManyDecimals,
        UndecodableAnswer,
        WrongToken,
    )

# Where the errors are defined. A package is loaded when one of its errors is first looked up.
_MODULES = (
    "ape_dtn.answers.errors",
    "ape_dtn.chain.errors",
    "ape_dtn.deployment.errors",
    "ape_dtn.devnet.errors",
    "ape_dtn.funding.errors",
    "ape_dtn.ipfs.errors",
    "ape_dtn.journal.errors",
    "ape_dtn.network.errors",
    "ape_dtn.node.errors",
    "ape_dtn.rehearsal.errors",
    "ape_dtn.requests.errors",
    "ape_dtn.rescue.errors",
    "ape_dtn.scaffold.errors",
    "ape_dtn.sessions.errors",
    "ape_dtn.testing.errors",
    "ape_dtn.types.errors",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in map(import_module, _MODULES):
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BAD_INPUT",
    "NODE_FAILED",
    "NO_ANSWER_YET",
    "NO_NETWORK",
    "REFUSED",
    "UNKNOWN_OUTCOME",
    "AccountBlocked",
    "AnvilFailed",
    "AnvilMissing",
    "BackendFailed",
    "BackendUnavailable",
    "BadInput",
    "CallbackFailed",
    "CallbackGasMissing",
    "CallbackOutOfGas",
    "CannotComplete",
    "CannotFork",
    "CassetteUnusable",
    "ChainUnreachable",
    "ConsentMissing",
    "ContentTooLarge",
    "ContentUnavailable",
    "ContractReverted",
    "DeploymentDiffers",
    "DeploymentUnusable",
    "DepositTaken",
    "DepositTaxed",
    "DepositWaiting",
    "DevnetFailed",
    "DtnError",
    "EmptyPrompt",
    "FeeTooHigh",
    "FilesExist",
    "GasTooExpensive",
    "InsufficientFunds",
    "InvalidAddress",
    "InvalidAmount",
    "InvalidBackend",
    "InvalidCall",
    "InvalidCid",
    "InvalidCursor",
    "InvalidName",
    "InvalidOption",
    "InvalidPrompt",
    "JournalUnusable",
    "KeyReused",
    "LedgerUnusable",
    "MethodUnavailable",
    "MissingExtra",
    "ModelNotFound",
    "NoAccount",
    "NoBackend",
    "NoContractAtAddress",
    "NoEffect",
    "NoMoneyForGas",
    "NoNetwork",
    "NoRemedy",
    "NobodyCanAnswer",
    "NobodyTrusted",
    "NodeFailure",
    "NodeNotFound",
    "NodeState",
    "NodeUnavailable",
    "NodesNotListed",
    "NotCancellable",
    "NotClientOwner",
    "NotConnected",
    "NotLocal",
    "NotNodeOwner",
    "NotRecorded",
    "NotSessionOwner",
    "NotTheWorker",
    "NotWritten",
    "NothingDeposited",
    "Offer",
    "OverLimit",
    "OwnersMissing",
    "PartlySent",
    "PaymentCancelled",
    "PaymentRefused",
    "PortTaken",
    "Refused",
    "RefusedBefore",
    "RequestNotFound",
    "RequestPending",
    "RequestReplaced",
    "RequestStranded",
    "RequestsPending",
    "RpcRefused",
    "SessionAlreadyClosed",
    "SessionNotFound",
    "SigningDeclined",
    "StateFixed",
    "StateUnusable",
    "StoreRefused",
    "StoreUnavailable",
    "TokenPaused",
    "TooManyDecimals",
    "TransactionPending",
    "TransactionRefused",
    "TransactionTooLarge",
    "UndecodableAnswer",
    "UnknownChain",
    "UnknownContract",
    "UnknownMethod",
    "UnsafeDeposit",
    "WalletPending",
    "WrongChain",
    "WrongCid",
    "WrongContent",
    "WrongToken",
]
