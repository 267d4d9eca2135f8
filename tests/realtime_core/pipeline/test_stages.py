"""What the mixins do to one message; nothing here needs a server."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from gevent.event import Event as Flag

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline import Anonymize, Encrypt, JSONParser, Message, Pipeline, PipelineMetrics, Unparsable
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.batch import Batch
from realtime_core.pipeline.dry import claim_of
from realtime_core.pipeline.json_parser import at_of, parse
from realtime_core.pipeline.publishing import Publishing
from realtime_core.queue import Stall

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from realtime_core.publish import Event, Outcome

JOB: dict[str, Any] = {
    "v": 1,
    "job": "j1",
    "channels": ["thread:1", "user:2", "thread:1"],
    "kind": "post_save",
    "model": "site.Comment",
    "key": 7,
    "at": 12.5,
    "data": {"text": "hi", "email": "a@example.org", "author": {"name": "x"}, "list": [{"email": "b"}, 3]},
}
KEY = b"0123456789abcdef"


def body(**changes: Any) -> bytes:
    return json.dumps(JOB | changes).encode()


def test_a_job_becomes_a_message_with_each_channel_once() -> None:
    message = parse(body())
    assert (message.job, message.channels, message.at, message.key) == ("j1", ("thread:1", "user:2"), 12.5, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"kind": "post_guess"},
        {"at": "soon"},
        {"at": True},
        {"key": 1.5},
        {"channels": "thread:1"},
        {"channels": ["no spaces please"]},
        {"channels": [f"c{number}" for number in range(65)]},
        {"data": []},
        {"model": None},
    ],
)
def test_a_job_that_is_not_in_the_format_is_refused_by_the_field_s_name(changes: dict[str, Any]) -> None:
    with pytest.raises(Unparsable) as refused:
        parse(body(**changes))
    name = next(iter(changes))
    assert (name if name != "channels" else "channel") in str(refused.value)
    assert len(str(refused.value)) < 400


def reason_of(pipeline: Pipeline, job: bytes) -> str:
    batch = Batch([claim_of("j", job)], max_attempts=1, backoff_base_s=0.0, chance=0.0)
    stages = PipelineMetrics().stage
    batch.parse(pipeline, stages)
    batch.compute(pipeline, stages, "published")
    [verdict] = batch.to_settle()
    assert isinstance(verdict, Stall)
    return verdict.reason


class Quotes(Pipeline):
    """A mixin whose exceptions quote what it got, as int() and dict do."""

    def compute(self, message: Message) -> Message | None:
        return super().compute(replace(message, key=int(message.data["email"])))


@pytest.mark.parametrize(
    ("mixin", "given"),
    [
        (Anonymize, {"anonymize": "data.email:drop"}),
        (Encrypt, {"encrypt": "data.email", "encrypt_keys_file": "KEYS"}),
    ],
)
def test_where_fields_are_private_a_stalled_job_s_reason_names_the_exception_and_its_line_but_no_value(
    mixin: type[Pipeline], given: dict[str, str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k1 " + base64.b64encode(bytes(32)).decode())
    kind = type("Tested", (JSONParser, Quotes, mixin, Pipeline), {})
    reason = reason_of(kind(settings={name: value.replace("KEYS", str(keys)) for name, value in given.items()}), body())
    assert "example" not in reason
    assert reason.startswith(f"compute: ValueError at {__name__}:")


class Discreet(Quotes):
    private = True


def test_a_mixin_may_say_by_itself_that_exceptions_may_quote_what_is_private() -> None:
    kind = type("Tested", (JSONParser, Discreet, Pipeline), {})
    assert "example" not in reason_of(kind(), body())


class Loud(Pipeline):
    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        raise ValueError(f"what is {events[0].line!r}?")


def test_where_fields_are_private_a_mixin_that_breaks_while_it_publishes_tells_no_value() -> None:
    pipeline = type("Tested", (JSONParser, Loud, Discreet, Pipeline), {})()
    batch = Batch(
        [claim_of("j", body(data={"email": "7", "name": "a@example.org"}))],
        max_attempts=1,
        backoff_base_s=0.0,
        chance=0.0,
    )
    stages = PipelineMetrics().stage
    batch.parse(pipeline, stages)
    batch.compute(pipeline, stages, "published")
    batch.stamp(batch.items, [["e-1", "e-2"]], stages)
    with stages("publish", 1) as stage:
        accounts = Accounts(None, PipelineMetrics())
        Publishing(pipeline, accounts, Flag(), lambda: None).publish(batch, batch.items, stage, until=inf)
    [verdict] = batch.to_settle()
    assert isinstance(verdict, Stall)
    assert verdict.reason.startswith(f"publish: ValueError at {__name__}:")
    assert "example" not in verdict.reason


def test_where_no_field_is_private_an_exception_s_words_are_the_reason() -> None:
    kind = type("Tested", (JSONParser, Quotes, Anonymize, Pipeline), {})
    assert "ValueError: invalid literal for int() with base 10: 'a@example.org'" in reason_of(kind(), body())


def test_data_of_a_wrong_type_is_named_by_its_type_alone() -> None:
    with pytest.raises(Unparsable, match=r"^data list: dict is needed$"):
        parse(body(data=["a@example.org"]))


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(junk: bytes) -> None:
    with pytest.raises(Unparsable):
        parse(junk)


def test_the_time_of_a_job_that_cannot_be_parsed_is_still_found() -> None:
    assert at_of(body(v=2)) == 12.5
    assert at_of(b"junk") is None


def anonymous(rules: dict[str, str], key: bytes = b"") -> dict[str, Any]:
    class Private(JSONParser, Anonymize, Pipeline):
        anonymize = rules
        anonymize_key = key

    changed = Private().compute(parse(body()))
    assert changed is not None
    return changed.data


def test_a_dropped_field_is_gone_also_inside_lists_and_the_rest_is_as_it_was() -> None:
    data = anonymous({"data.email": "drop", "data.list.email": "drop", "data.absent.field": "drop"})
    assert data == {"text": "hi", "author": {"name": "x"}, "list": [{}, 3]}


def test_a_hashed_field_is_the_same_for_the_same_value_and_key_and_tells_nothing() -> None:
    one, two = anonymous({"data.email": "hash"}, KEY), anonymous({"data.email": "hash"}, KEY)
    other = anonymous({"data.email": "hash"}, KEY[::-1])
    assert one["email"] == two["email"] != other["email"]
    assert "example" not in one["email"]


@pytest.mark.parametrize(
    ("rules", "key"), [({"email": "drop"}, b""), ({"data.x": "blur"}, b""), ({"data.x": "hash"}, b"k")]
)
def test_a_rule_that_cannot_be_carried_out_stops_the_pipeline_before_it_begins(
    rules: dict[str, str], key: bytes
) -> None:
    with pytest.raises(ConfigurationError):
        anonymous(rules, key)
