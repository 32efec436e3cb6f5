"""Deploying a network, on a local chain at once or on a public one in steps that can be resumed."""
