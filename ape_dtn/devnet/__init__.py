"""A local network for development: Anvil, contracts, funded accounts, a node, an IPFS store."""
