"""Values without a connection: amounts, ids, ABI values, prompts, answers, base errors."""
