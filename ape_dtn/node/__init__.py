"""A node: what is asked of it, answered and paid."""
