"""Saturates one instance: cohorts of raw sockets under Locust, an open model, and a capacity with its evidence.

Import from the modules. ``settings``, ``result``, ``histogram``, ``arrivals``, ``search`` and ``health`` load no
Locust; ``run`` and ``user`` do, and so patch the process.
"""
