"""The journal: records what moves money before it is sent, and executes it exactly once."""
