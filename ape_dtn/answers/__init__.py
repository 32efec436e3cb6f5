"""After a request is sent: waiting for its answer, and reading it wherever it is."""
