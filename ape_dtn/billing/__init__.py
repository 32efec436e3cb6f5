"""Billing: the history of a session, its audit, and the formats of its bill."""
