"""How a deposit becomes a session, so that nobody can take it in between."""
