"""Pipelines made of mixins, and the worker that takes jobs through them: parse, compute, publish, settled together."""

from realtime_core.pipeline.acknowledge import Acknowledge
from realtime_core.pipeline.anonymize import Anonymize
from realtime_core.pipeline.composing import composed, described
from realtime_core.pipeline.encrypt import Encrypt
from realtime_core.pipeline.enrich import Enrich
from realtime_core.pipeline.file_publisher import FilePublisher
from realtime_core.pipeline.filter import Filter
from realtime_core.pipeline.http_publisher import HTTPPublisher
from realtime_core.pipeline.json_parser import JSONParser
from realtime_core.pipeline.message import Message, Unparsable
from realtime_core.pipeline.metrics import PipelineMetrics
from realtime_core.pipeline.pipeline import Pipeline
from realtime_core.pipeline.ready_made import JSONAnonHTTPPipeline
from realtime_core.pipeline.runner import Runner

__all__ = [
    "Acknowledge",
    "Anonymize",
    "Encrypt",
    "Enrich",
    "FilePublisher",
    "Filter",
    "HTTPPublisher",
    "JSONAnonHTTPPipeline",
    "JSONParser",
    "Message",
    "Pipeline",
    "PipelineMetrics",
    "Runner",
    "Unparsable",
    "composed",
    "described",
]
