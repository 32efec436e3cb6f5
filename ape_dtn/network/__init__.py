"""The Deep Trust Network's contracts: where they are, what they hold, how they fail."""
