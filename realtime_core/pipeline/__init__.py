"""Pipelines made of mixins, and the workers that take jobs through them: parse, compute, publish, settled together.

What it has is imported when it is asked for: a worker must have its sockets patched before anything imports them, and a
supervisor needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "Acknowledge": "acknowledge",
    "Anonymize": "anonymize",
    "Encrypt": "encrypt",
    "Enrich": "enrich",
    "FilePublisher": "file_publisher",
    "Filter": "filter",
    "HTTPPublisher": "http_publisher",
    "JSONAnonHTTPPipeline": "ready_made",
    "JSONParser": "json_parser",
    "Message": "message",
    "Pipeline": "pipeline",
    "PipelineMetrics": "metrics",
    "Runner": "runner",
    "Unparsable": "message",
    "composed": "composing",
    "described": "composing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
