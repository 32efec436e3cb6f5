"""What users hold: the network, sessions and requests as objects."""
