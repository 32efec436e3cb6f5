"""A whole network on one machine: a chain, its contracts, accounts with funds, a node, IPFS."""
