"""Commands of the outbox, for manage.py."""
