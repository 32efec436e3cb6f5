"""What an account has anywhere on the network, found from the chain alone, and brought home."""
