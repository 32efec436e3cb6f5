"""Answers: waits for them, and reads them from the chain and from IPFS."""
