"""The realtime core: saves and deletes to browsers, at least once, every message accounted for. Imports nothing of darktime."""
