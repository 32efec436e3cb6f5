"""The objects that users hold: the network, sessions, requests and watches."""
