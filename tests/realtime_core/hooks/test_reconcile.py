"""The reconciler names exactly the rows whose last change has no event that was put."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test.utils import override_settings
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime_core.errors import ConfigurationError
from realtime_core.hooks.django_signals import Producer
from realtime_core.hooks.outbox.relay import Relay
from realtime_core.hooks.reconcile import OutboxEvidence, Reconciled, TraceEvidence, reconcile
from realtime_core.hooks.trace import Trace
from tests.support.schemas import require_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.hooks.django_signals import Outbox
    from realtime_core.queue import Queue


@pytest.fixture
def trace(redis_client: Redis, redis_name: str) -> Trace:
    return Trace(redis_client, redis_name)


@pytest.fixture
def traced(queue: Queue, trace: Trace) -> Producer:
    return Producer(queue, trace=trace)


def later() -> datetime:
    return datetime.now(tz=UTC) + timedelta(seconds=60)


def since_of(trace: Trace) -> datetime:
    since = trace.complete_since()
    assert since is not None
    return datetime.fromtimestamp(since + 1e-6, tz=UTC)


def over(trace: Trace, model: Any, **options: Any) -> Reconciled:
    if "since" not in options:
        options["since"] = since_of(trace)
    return reconcile(model, field="changed", until=later(), evidence=TraceEvidence(trace), **options)


@pytest.fixture
def thread(site: Any) -> Any:
    return site.Thread.objects.create(title="t")


def test_signal_mode_rows_written_past_the_hooks_are_named_and_no_others(
    site: Any, thread: Any, connect: Callable[..., None], traced: Producer, trace: Trace
) -> None:
    connect(site.Comment, producer=traced, channels=lambda one: [] if one.author == "spam" else ["a"])
    kept = [site.Comment.objects.create(thread=thread, author="ann", text=text) for text in "abc"]
    site.Comment.objects.create(thread=thread, author="spam", text="has no channel")
    site.Comment._base_manager.filter(pk=kept[1].pk).update(text="raw", changed=later() - timedelta(seconds=30))
    (bulk,) = site.Comment._base_manager.bulk_create([site.Comment(thread=thread, author="ann", text="bulk")])
    traced.flush()
    found = over(trace, site.Comment)
    assert [one.key for one in found.missing] == [str(kept[1].pk), str(bulk.pk)]
    assert found.missing[0].last_put is not None
    assert found.missing[1].last_put is None
    # The first comment began the trace, and is not in the period.
    assert (found.rows, found.put, found.silent, found.missing_total) == (4, 1, 1, 2)


def test_signal_mode_with_redis_away_names_what_was_lost(
    *,
    site: Any,
    thread: Any,
    connect: Callable[..., None],
    traced: Producer,
    trace: Trace,
    queue: Queue,
    monkeypatch: Any,
) -> None:
    connect(site.Comment, producer=traced)
    site.Comment.objects.create(thread=thread, author="ann", text="begins the trace")
    with monkeypatch.context() as away:
        away.setattr(queue, "put", lambda _: (_ for _ in ()).throw(RedisConnectionError("refused")))
        lost = site.Comment.objects.create(thread=thread, author="ann", text="lost")
    site.Comment.objects.create(thread=thread, author="ann", text="kept")
    traced.flush()
    assert [one.key for one in over(trace, site.Comment).missing] == [str(lost.pk)]
    lost.save()
    traced.flush()
    assert over(trace, site.Comment).missing == ()


def test_a_row_that_was_put_and_then_changed_without_an_event_is_missing_again(
    site: Any, thread: Any, connect: Callable[..., None], traced: Producer, trace: Trace
) -> None:
    connect(site.Comment, producer=traced)
    comment = site.Comment.objects.create(thread=thread, author="ann", text="a")
    site.Comment._base_manager.filter(pk=comment.pk).update(changed=datetime.now(tz=UTC) + timedelta(seconds=1))
    (missing,) = over(trace, site.Comment).missing
    assert missing.last_put is not None
    assert missing.last_put < missing.changed
    assert over(trace, site.Comment, slack_s=10).missing == ()


def test_a_period_of_which_nothing_is_known_is_refused_and_says_where_to_begin(
    site: Any, thread: Any, connect: Callable[..., None], traced: Producer, trace: Trace
) -> None:
    connect(site.Comment, producer=traced)
    with pytest.raises(ConfigurationError, match="nothing was ever noted"):
        over(trace, site.Comment, since=later())
    site.Comment.objects.create(thread=thread, author="ann", text="a")
    with pytest.raises(ConfigurationError, match="begin there"):
        over(trace, site.Comment, since=since_of(trace) - timedelta(seconds=1))


def test_a_trace_is_bounded_and_begins_where_it_still_knows_everything(redis_client: Redis, redis_name: str) -> None:
    trace = Trace(redis_client, redis_name, most=3)
    now = float(int(time.time()))  # exact, in Redis too
    trace.note([("m 1", now - 50), ("m 2", now - 40)])
    assert trace.complete_since() == now - 50
    trace.note([("m 3", now - 30), ("m 4", now - 20), ("m 2", now - 45)])
    assert trace.last_put(["m 1", "m 2", "m 3", "m 4"]) == [None, now - 40, now - 30, now - 20]
    assert trace.complete_since() == now - 40
    short = Trace(redis_client, redis_name, keep_s=25)
    short.note([("m 5", now)])
    assert short.last_put(["m 2", "m 3", "m 5"]) == [None, None, now]
    since = short.complete_since()
    assert since is not None
    assert now - 25 <= since <= time.time() - 25


def test_the_outbox_tells_what_waits_from_what_was_put_and_names_the_missing(
    site: Any, using: str, connect: Callable[..., None], outbox: Outbox, queue: Queue
) -> None:
    connect(site.Comment, producer=outbox)
    thread = site.Thread.objects.using(using).create(title="t")
    comments = site.Comment.objects.using(using)
    put = comments.create(thread=thread, author="ann", text="put")
    Relay(lambda _: queue, using=using).round()
    comments.create(thread=thread, author="ann", text="waits")
    (missing,) = site.Comment._base_manager.using(using).bulk_create(
        [site.Comment(thread=thread, author="ann", text="past the hooks")]
    )
    found = reconcile(
        site.Comment,
        field="changed",
        since=put.changed,
        until=later(),
        evidence=OutboxEvidence(3600, using),
        using=using,
    )
    assert (found.rows, found.put, found.waiting, found.missing_total) == (3, 1, 1, 1)
    assert [one.key for one in found.missing] == [str(missing.pk)]


@pytest.mark.parametrize(("field", "words"), [("nothing", "nothing"), ("text", "TextField")])
def test_a_field_that_is_no_time_is_refused(
    *, site: Any, connect: Callable[..., None], traced: Producer, trace: Trace, field: str, words: str
) -> None:
    connect(site.Comment, producer=traced)
    with pytest.raises(ConfigurationError, match=words):
        reconcile(site.Comment, field=field, since=later(), evidence=TraceEvidence(trace))


def test_a_model_without_a_hook_is_refused(site: Any, trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="no hook"):
        reconcile(site.Comment, field="changed", since=later(), evidence=TraceEvidence(trace))


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_the_command_names_them_and_ends_with_3(
    *,
    site: Any,
    thread: Any,
    connect: Callable[..., None],
    traced: Producer,
    trace: Trace,
    valkey: Any,
    redis_name: str,
    as_json: bool,
) -> None:
    connect(site.Comment, producer=traced)
    site.Comment.objects.create(thread=thread, author="ann", text="begins the trace")
    period = {"since": since_of(trace).isoformat(), "until": later().isoformat()}
    said = StringIO()

    def call() -> None:
        call_command("realtime_reconcile", "hooktests.Comment", field="changed", json=as_json, stdout=said, **period)

    with override_settings(REALTIME={"redis": valkey.url, "queue": redis_name}):
        call()
        (lost,) = site.Comment._base_manager.bulk_create([site.Comment(thread=thread, author="ann", text="lost")])
        said.truncate(0)
        said.seek(0)
        with pytest.raises(CommandError, match="1 row") as failed:
            call()
    assert failed.value.returncode == 3
    if as_json:
        results = json.loads(said.getvalue())
        require_schema(results)
        assert [one["key"] for one in results["missing"]] == [str(lost.pk)]
    else:
        assert f"missing: '{lost.pk}'" in said.getvalue()


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("hooktests.Nothing", {}, "Nothing"),
        ("hooktests.Comment", {"since": "yesterday"}, "--since yesterday"),
        ("hooktests.Thread", {}, "no hook"),
    ],
    ids=["model", "time", "hook"],
)
def test_the_command_refuses_with_2(site: Any, valkey: Any, model: str, options: dict[str, Any], words: str) -> None:
    with override_settings(REALTIME={"redis": valkey.url}), pytest.raises(CommandError, match=words) as refused:
        call_command("realtime_reconcile", model, field="changed", **options)
    assert refused.value.returncode == 2


def test_a_row_whose_channels_cannot_be_told_is_missing_and_ends_nothing(
    site: Any, thread: Any, connect: Callable[..., None], traced: Producer, trace: Trace, *, caplog: Any
) -> None:
    def channels(one: Any) -> list[str]:
        return [one.nothing] if one.author == "bob" else ["a"]

    connect(site.Comment, producer=traced, channels=channels)
    site.Comment.objects.create(thread=thread, author="ann", text="begins the trace")
    unknown = site.Comment.objects.create(thread=thread, author="bob", text="x")
    site.Comment.objects.create(thread=thread, author="ann", text="y")
    traced.flush()
    found = over(trace, site.Comment)
    assert [one.key for one in found.missing] == [str(unknown.pk)]
    assert found.put == 1
    assert f"channels of hooktests.Comment {unknown.pk}" in caplog.text
