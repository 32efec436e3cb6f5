"""The chain, and the only modules that talk to it.

``reads`` reads, ``transactions`` sends. Callers translate the reverts of their contracts.
All three go through ``rpc``, and take the contracts' functions and events from ``abi``.
"""
