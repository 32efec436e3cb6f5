"""The chain, and the only modules that talk to it.

``reads`` asks, ``transactions`` changes; what reverts mean is for whoever knows the contracts.
All three go through ``rpc``, and take the contracts' functions and events from ``abi``.
"""
