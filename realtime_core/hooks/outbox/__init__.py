"""The outbox: an event is a row in the application's own transaction; a relay puts it into the queue. A Django app."""
