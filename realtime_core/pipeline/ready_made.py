"""The pipeline most people need: JSON in, private fields off, events out to push boxes."""

from __future__ import annotations

from realtime_core.pipeline.anonymize import Anonymize
from realtime_core.pipeline.http_publisher import HTTPPublisher
from realtime_core.pipeline.json_parser import JSONParser
from realtime_core.pipeline.pipeline import Pipeline


class JSONAnonHTTPPipeline(JSONParser, Anonymize, HTTPPublisher, Pipeline):
    """Reads one line of JSON, anonymises, publishes over HTTP."""
