"""Reports of a run: its kept results as text for terminals, JUnit for CI and one HTML file for people.

Values in, values out: all but :func:`write_report` take a run's results (the parsed ``results.json``) and return
text. The formats are in ``schema/``, one file a kind and version.
"""

from __future__ import annotations

from darktime.report.folder import write_report
from darktime.report.junit import junit_xml
from darktime.report.kinds import validate
from darktime.report.page import html_page
from darktime.report.text import text_summary

__all__ = ["html_page", "junit_xml", "text_summary", "validate", "write_report"]
