"""The backends that produce a node's answers, one kind per module."""
