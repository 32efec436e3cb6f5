"""Content of answers on IPFS: kept in blocks by nodes, fetched from gateways by those who ask."""
