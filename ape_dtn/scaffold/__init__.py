"""Written for users: a project that works at once, contracts and clients for a prompt of theirs.

What is written is text that nobody here reads again: it belongs to the user from then on.
"""
