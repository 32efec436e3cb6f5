"""A network of one's own on a public chain: deployed once, handed over, its sources verified."""
