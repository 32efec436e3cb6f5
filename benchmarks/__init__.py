"""What using the network costs: gas, RPC calls and HTTP requests."""
