"""Grafana dashboards built from Python, with the Prometheus rules and provisioning files that belong to them.

The generated JSON is committed: to use it needs neither Python nor the SDK, and importing this package does not either.
"""
