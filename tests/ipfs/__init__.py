"""Tools for tests of IPFS: CIDs of an independent implementation, and misbehaving gateways."""
