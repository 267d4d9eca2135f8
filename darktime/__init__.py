"""darktime: know before your users do whether new realtime code holds."""

__version__ = "0.1.0"
