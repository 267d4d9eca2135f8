"""Servers with programmable faults, as processes: ``python -m tests.darktime.blast.servers NAME --option value …``.

They print ``listening on HOST:PORT`` and ``control on HOST:PORT``, count exactly what they did, and share no code with
what measures them.
"""
