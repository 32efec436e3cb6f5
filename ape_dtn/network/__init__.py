"""The contracts of the Deep Trust Network: addresses, ABI, registries and errors."""
