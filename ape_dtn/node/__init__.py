"""The node: it finds requests on the chain, answers them, and is paid."""
