"""The chain, and the only modules that talk to it.

``reads`` asks, ``sends`` changes, ``reverts`` turns what the contracts refuse into our errors.
All three go through ``rpc``, and take the contracts' functions and events from ``abi``.
"""
