"""Trying a transaction, its requests and their callbacks on a fork of the chain."""
