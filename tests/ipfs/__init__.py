"""What tests of IPFS need: CIDs that somebody else computes, and gateways of each character."""
