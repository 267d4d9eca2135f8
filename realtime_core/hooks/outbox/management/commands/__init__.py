"""realtime_outbox and realtime_reconcile."""
