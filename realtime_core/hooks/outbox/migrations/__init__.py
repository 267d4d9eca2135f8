"""How the outbox's table comes about."""
