"""Requests before they are sent: options, checks, drafts, budgets, quotes and purchases."""
