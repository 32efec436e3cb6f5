"""Content on IPFS: stores that nodes add answers to, and verified fetches from gateways."""
