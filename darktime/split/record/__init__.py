"""Recordings: copies of requests kept in a file, to be sent again later. The format is in docs/recorded.md."""
