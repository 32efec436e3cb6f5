"""Finding and recovering what an account has on the network, from the chain alone."""
