"""What moves money is written down before it is sent: nothing is sent twice, or forgotten."""
