"""The overview: is it well, and where not; from the save to the browser and along the copies, one row a question."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.models import dashboard as models

from dashboards import queries as q
from dashboards.common import figure, heat_of, labels_variable, lines

PER_SECOND = "ops"
SECONDS = "s"
SHARE = "percentunit"
COUNT = "short"
BYTES = "bytes"


def overview() -> models.Dashboard:
    """The dashboard, built."""
    return (
        board.Dashboard("Realtime overview")
        .uid("realtime-overview")
        .description("From a save to the browser, and along the copies of dark traffic.")
        .tags(["realtime", "darktime"])
        .readonly()
        .timezone("browser")
        .refresh("10s")
        .time("now-30m", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            board.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(models.VariableOption(text="Prometheus", value="prometheus"))
        )
        .with_variable(labels_variable("job", "Job", "label_values(up, job)"))
        .with_variable(labels_variable("instance", "Instance", 'label_values(up{job=~"$job"}, instance)'))
        .with_row(board.Row("Is it well?"))
        .with_panel(
            figure(
                "Instances up", q.INSTANCES_UP, SHARE, "Share of exporters that answer.", bad=1, low_is_bad=True
            ).span(5)
        )
        .with_panel(
            figure(
                "Publish success",
                q.PUBLISH_SUCCESS,
                SHARE,
                "Share of events that the push boxes took in, all boxes together.",
                bad=0.999,
                low_is_bad=True,
            ).span(5)
        )
        .with_panel(figure("Subscribers", q.SUBSCRIBERS, COUNT, "Open EventSource streams on all push boxes.").span(4))
        .with_panel(
            figure(
                "Fan-out p99",
                q.FANOUT_P99,
                SECONDS,
                "From a push box taking a message in to having written it to the last subscriber.",
                bad=0.25,
            ).span(5)
        )
        .with_panel(
            figure(
                "Subscribers dropped",
                q.DROPPED,
                PER_SECOND,
                "Subscribers that a push box had to drop a second: they read too slowly, stalled or reset.",
                bad=1,
            ).span(5)
        )
        .with_row(board.Row("Traffic"))
        .with_panel(
            lines(
                "Jobs from hooks",
                PER_SECOND,
                "Saves and deletes put into the queue, by outcome.",
                [(q.JOBS, "{{outcome}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Messages by stage",
                PER_SECOND,
                "What each stage of the pipelines handled.",
                [(q.STAGES, "{{stage}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Published and delivered",
                PER_SECOND,
                "Messages taken in by the push boxes, their deliveries to subscribers, and the sends that took.",
                [(q.PUBLISHED, "published"), (q.DELIVERIES, "delivered"), (q.SENDS, "sends")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Copies",
                PER_SECOND,
                "Requests that production's log calls sampled, copies that reached the relay, and pairs that differ.",
                [(q.COPIES_OFFERED, "offered"), (q.COPIES_RECEIVED, "received"), (q.PAIRS_DIFFERING, "differing")],
                span=12,
            )
        )
        .with_panel(
            lines(
                "Streams",
                COUNT,
                "EventSource streams open on the push boxes, and those the relay holds on the dark side.",
                [(q.SUBSCRIBERS, "subscribers"), (q.RELAY_STREAMS, "relay")],
                span=12,
            )
        )
        .with_row(board.Row("Errors"))
        .with_panel(
            lines(
                "Pipeline outcomes",
                PER_SECOND,
                "What became of messages: the five most frequent.",
                [(q.PIPELINE_OUTCOMES, "{{stage}} {{outcome}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Publish outcomes",
                PER_SECOND,
                "What each push box answered: the five most frequent.",
                [(q.PUBLISH_OUTCOMES, "{{box}} {{outcome}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Copies by outcome",
                PER_SECOND,
                "Compared, or the reason why not: the five most frequent.",
                [(q.COPIES_BY_OUTCOME, "{{outcome}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Dropped subscribers",
                PER_SECOND,
                "Subscribers that a push box dropped, by reason.",
                [(q.DROPPED_BY_REASON, "{{reason}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Closed clients",
                PER_SECOND,
                "Connections closed while they were asking, by reason.",
                [(q.CLOSED_BY_REASON, "{{reason}}")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Redis towards pipelines",
                PER_SECOND,
                "Calls that failed and were repeated; jobs settled while Redis refused the ledger, to be accounted for later.",
                [(q.PIPELINE_REDIS_ERRORS, "failed calls"), (q.UNACCOUNTED, "unaccounted jobs")],
                span=8,
            )
        )
        .with_panel(
            lines(
                "Differing by endpoint",
                PER_SECOND,
                "Copies whose answer differs from production's: the five endpoints with most.",
                [(q.DIFFERING_BY_ENDPOINT, "{{endpoint}}")],
                span=12,
            )
        )
        .with_panel(
            lines(
                "Not compared by endpoint",
                PER_SECOND,
                "Copies that left for any reason before they were compared: the five endpoints with most.",
                [(q.NOT_COMPARED_BY_ENDPOINT, "{{endpoint}}")],
                span=12,
            )
        )
        .with_row(board.Row("Latency"))
        .with_panel(
            lines(
                "Fan-out quantiles",
                SECONDS,
                "From taking a message in to having written it to the last subscriber.",
                [(q.FANOUT_P50, "p50"), (q.FANOUT_P90, "p90"), (q.FANOUT_P99, "p99")],
                span=12,
            )
        )
        .with_panel(heat_of("Fan-out", SECONDS, "The same, as a histogram over time.", q.FANOUT_BUCKETS, span=12))
        .with_row(board.Row("Saturation"))
        .with_panel(
            lines(
                "CPU",
                SHARE,
                "Share of one core: the five busiest processes.",
                [(q.CPU, "{{job}} {{instance}}")],
                span=6,
            )
        )
        .with_panel(
            lines(
                "Memory",
                BYTES,
                "Resident memory: the five largest processes.",
                [(q.MEMORY, "{{job}} {{instance}}")],
                span=6,
            )
        )
        .with_panel(
            lines(
                "Open files",
                SHARE,
                "Open files and sockets, of as many as the process may have.",
                [(q.FILES, "{{job}} {{instance}}")],
                span=6,
            )
        )
        .with_panel(
            lines(
                "Bytes held by push",
                BYTES,
                "Bytes that wait for a fan-out pass, and bytes kept for replay.",
                [(q.WAITING, "waiting"), (q.STORED, "stored")],
                span=6,
            )
        )
        .build()
    )
