"""A user's transaction, its requests and their callbacks, all of it on a copy of the chain."""
