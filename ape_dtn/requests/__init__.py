"""Before a request is sent: what a model takes, who may answer, what it may cost."""
