"""Readers of HTTP/1.1 replies and EventSource streams, and the poller for many sockets. Import from the modules.

``poller`` waits on sockets; ``http1``, ``stream`` and ``eventsource`` are pure: bytes in, values out.
"""
