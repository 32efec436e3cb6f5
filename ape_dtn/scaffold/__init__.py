"""Generates files for users: a project, and contracts and clients for a prompt.

Generated files belong to the user; the package never reads them back.
"""
