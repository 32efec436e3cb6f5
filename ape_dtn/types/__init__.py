"""Plain values and their rules: they know no chain and no network."""
