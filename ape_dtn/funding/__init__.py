"""Funding: turns a deposit into a session without exposing it to other accounts."""
