"""What gives a node its answers: one kind a module."""
