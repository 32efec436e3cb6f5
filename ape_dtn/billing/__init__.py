"""What was paid for: a session's history, audited and shown."""
