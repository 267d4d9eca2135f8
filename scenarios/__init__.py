"""Scenarios for Locust, one idea a file.

``locust -f scenarios/steady.py --host http://127.0.0.1:8000 --headless -t 30s``.
"""
