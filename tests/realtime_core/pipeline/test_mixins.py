"""Filter, Enrich, Encrypt, levels, and how pipelines are composed; nothing here needs a server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline import (
    Acknowledge,
    Anonymize,
    Encrypt,
    Enrich,
    Filter,
    JSONParser,
    Message,
    Pipeline,
    composed,
    described,
)
from realtime_core.pipeline.dry import PUBLISHED, claim_of, dry, through
from realtime_core.pipeline.encrypt import Keys, read_keys
from realtime_core.pipeline.enrich import Cache
from realtime_core.pipeline.fields import GONE, changed, found, put_in
from realtime_core.pipeline.loading import pipeline_class

MESSAGE = Message(
    job="j1",
    channels=("thread:1",),
    kind="post_save",
    model="site.Comment",
    key=7,
    at=12.5,
    data={"text": "hi", "author_id": 3, "card": {"number": "4111"}, "public": True},
)
OLD, NEW = b"o" * 32, b"n" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Message):
    """A mixin's own kind."""

    by: str


def test_a_message_with_other_fields_is_what_replace_makes_of_it_also_of_a_kind_of_ones_own() -> None:
    signed = Signed(**{name: getattr(MESSAGE, name) for name in Message.__slots__}, by="ann")
    for message in (MESSAGE, signed):
        made = message.with_data({"text": "ho"})
        assert type(made) is type(message)
        assert made == replace(message, data={"text": "ho"})
    assert MESSAGE.data["text"] == "hi"


def computed(kind: type[Pipeline], message: Message = MESSAGE, **settings: str) -> Message | None:
    pipeline = kind(settings=settings)
    pipeline.check()
    return pipeline.compute(message)


def of(kind: type[Pipeline], **settings: str) -> dict[str, Any]:
    message = computed(kind, **settings)
    assert message is not None
    return message.data


@pytest.mark.parametrize(
    ("settings", "through"),
    [
        ({"only": "kind:post_save"}, True),
        ({"only": "kind:post_delete"}, False),
        ({"only": "model:site.Vote|site.Comment,data.public:true"}, True),
        ({"only": "data.public:false"}, False),
        ({"only": "data.absent:1"}, False),
        ({"only": "key:7,channel:thread:1"}, True),
        ({"never": "model:site.Comment"}, False),
        ({"never": "data.author_id:4"}, True),
        ({"only": "kind:post_save", "never": "data.text:hi"}, False),
    ],
    ids=range(9),
)
def test_a_filter_lets_through_what_matches_all_of_only_and_none_of_never(
    settings: dict[str, str], *, through: bool
) -> None:
    assert (computed(Filter, **settings) is not None) is through


@pytest.mark.parametrize("settings", [{"only": "kind"}, {"only": "email:x"}, {"never": "data:x"}, {"onyl": "kind:a"}])
def test_a_filter_s_rule_that_cannot_be_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        computed(Filter, **settings)


class Authors(Enrich):
    enrich_by = "data.author_id"
    enrich_into = "data.author"

    def look_up(self, value: Any) -> Any:
        if value == 9:
            gevent.sleep(10)
        if value == 8:
            raise LookupError("nobody")
        return {"name": f"author {value}"}


def test_enrich_looks_up_once_and_puts_it_where_it_is_told() -> None:
    pipeline = Authors()
    for _ in range(3):
        message = pipeline.compute(MESSAGE)
        assert message is not None
        assert message.data["author"] == {"name": "author 3"}
    assert MESSAGE.data.get("author") is None, "the message itself is as it was"
    figures = pipeline.figures()
    assert (figures["enrich_lookups"], figures["enrich_hits"]) == (1, 2)


@pytest.mark.parametrize(("author", "figure"), [(9, "enrich_late"), (8, "enrich_failures")])
def test_a_look_up_that_fails_or_is_late_fails_the_job_or_leaves_it_as_it_was(author: int, figure: str) -> None:
    message = replace(MESSAGE, data={"author_id": author})
    for missing in ("fail", "leave"):
        pipeline = Authors(settings={"enrich_timeout": "0.02", "enrich_missing": missing})
        if missing == "leave":
            assert pipeline.compute(message) == message
        else:
            with pytest.raises(Exception, match=r"0\.02 s|nobody"):
                pipeline.compute(message)
        assert pipeline.figures()[figure] == 1
        assert len(pipeline.enrich_cache) == 0


def test_enrich_takes_a_function_by_name_and_refuses_what_is_none() -> None:
    settings = {"enrich_by": "data.author_id", "enrich_into": "data.as_text", "enrich": "builtins:str"}
    assert of(Enrich, **settings)["as_text"] == "3"
    for wrong in (
        {"enrich": "no.such:thing"},
        {"enrich": "sys:maxsize"},
        {"enrich_timeout": "soon"},
        {"enrich_by": "x"},
    ):
        with pytest.raises(ConfigurationError):
            computed(Enrich, **{**settings, **wrong})


def test_a_cache_holds_no_more_than_its_limit_forgets_the_oldest_and_what_is_over() -> None:
    cache = Cache(2, 10.0)
    for number in range(3):
        cache.put(b"%d" % number, number, now=0.0)
        cache.get(b"0", now=0.0)
    assert (len(cache), cache.evicted) == (2, 1)
    assert cache.get(b"0", now=9.9) == (True, 0)
    assert cache.get(b"1", now=9.9) == (False, None), "it was not asked for longest"
    assert cache.get(b"2", now=10.0) == (False, None), "its time is over"
    assert len(cache) == 1


class Card(JSONParser, Encrypt, Pipeline):
    encrypt = ("data.card.number", "data.absent")
    encrypt_keys = Keys({"old": OLD})


def test_an_encrypted_field_tells_nothing_and_comes_back_whole_with_the_key() -> None:
    data = of(Card)
    text = data["card"]["number"]
    assert text.startswith("dt1.old.")
    assert "4111" not in json.dumps(data)
    assert Keys({"old": OLD}).decrypt(text, ["card", "number"]) == "4111"
    assert of(Card)["card"]["number"] != text, "equal values do not look equal"
    assert data["text"] == "hi"


def test_fields_that_a_setting_names_are_encrypted_beside_those_of_the_class() -> None:
    data = of(Card, encrypt="data.text,data.card.number")
    assert data["card"]["number"].startswith("dt1.old.")
    assert data["text"].startswith("dt1.old.")


def test_a_rotated_key_encrypts_with_the_new_and_still_reads_the_old(tmp_path: Any) -> None:
    text = of(Card)["card"]["number"]
    file = tmp_path / "keys"
    lines = ["# the first encrypts", f"new {base64.b64encode(NEW).decode()}", f"old {base64.b64encode(OLD).decode()}"]
    file.write_text("\n".join(lines))
    rotated = read_keys(str(file))
    assert rotated.decrypt(text, ["card", "number"]) == "4111"
    settings = {"encrypt": "data.text", "encrypt_keys_file": str(file)}
    assert of(Encrypt, **settings)["text"].startswith("dt1.new.")


@pytest.mark.parametrize("spoiled", ["moved", "changed", "other key", "no format"])
def test_what_was_changed_or_moved_to_another_field_does_not_decrypt(spoiled: str) -> None:
    text = of(Card)["card"]["number"]
    keys, path = Keys({"old": NEW if spoiled == "other key" else OLD}), ["card", "number"]
    if spoiled == "moved":
        path = ["text"]
    elif spoiled == "changed":
        text = text[:-4] + ("AAAA" if text[-4:] != "AAAA" else "BBBB")
    elif spoiled == "no format":
        text = "4111"
    with pytest.raises(ValueError, match=r"changed|not dt1"):
        keys.decrypt(text, path)


@pytest.mark.parametrize("line", ["old", "old !!!", "old c2hvcnQ=", "a.b " + base64.b64encode(OLD).decode(), ""])
def test_a_key_file_that_cannot_be_is_refused_and_the_key_is_not_told(line: str, tmp_path: Any) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    with pytest.raises(ConfigurationError) as refused:
        read_keys(str(file))
    assert "c2hvcnQ" not in str(refused.value)


def test_encrypting_without_the_package_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['cryptography.hazmat.primitives.ciphers.aead'] = None\n"
        "from realtime_core.pipeline.encrypt import Keys\n"
        "try: Keys({'a': b'k' * 32})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("ConfigurationError")
    assert "darktime[encrypt]" in done.stdout


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3), lambda v: st.lists(v, max_size=3)
)


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=2), JSON),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
    JSON,
)
def test_what_is_put_at_a_path_is_found_there_and_can_be_taken_out(
    data: dict[str, Any], path: list[str], value: Any
) -> None:
    before = json.dumps(data)
    with_it = put_in(data, tuple(path), value)

    assert list(found(with_it, tuple(path))) == [value]
    assert not list(found(changed(with_it, tuple(path), lambda _: GONE), tuple(path)))
    assert json.dumps(data) == before


# A test is a mixin put in the middle: this one stands between Anonymize and the publisher, and sees what would go out.
class NothingPrivate(Pipeline):
    def compute(self, message: Message) -> Message | None:
        assert "email" not in json.dumps(message.data), "a private field got this far"
        return super().compute(message)


class Careful(JSONParser, Anonymize, NothingPrivate, Pipeline):
    anonymize = {"data.email": "drop"}  # noqa: RUF012


class Careless(JSONParser, NothingPrivate, Anonymize, Pipeline):
    anonymize = {"data.email": "drop"}  # noqa: RUF012


BODY = json.dumps(
    {
        "v": 1,
        "job": "j",
        "channels": ["c"],
        "kind": "post_save",
        "model": "m",
        "key": 1,
        "at": 1,
        "data": {"email": "a@b"},
    }
).encode()


def test_a_test_is_a_mixin_put_in_the_middle_of_the_pipeline() -> None:
    assert through(dry(Careful, {}), claim_of("j", BODY))[0] == PUBLISHED
    fate, _, why = through(dry(Careless, {}), claim_of("j", BODY))
    assert (fate, "private field" in why) == ("error", True)


def test_a_pipeline_is_composed_by_configuration_as_by_inheritance() -> None:
    middle = f"{__name__}:NothingPrivate"
    made = described({"mixins": ["JSONParser", "Anonymize", middle], "settings": {"anonymize": "data.email:drop"}})
    assert through(dry(made, {}), claim_of("j", BODY))[0] == PUBLISHED
    assert [base.__name__ for base in made.__mro__[1:4]] == ["JSONParser", "Anonymize", "NothingPrivate"]
    assert through(dry(composed(["JSONParser", middle]), {}), claim_of("j", BODY))[0] == "error"
    given_wins = through(dry(made, {"anonymize": "data.other:drop"}), claim_of("j", BODY))[0]
    assert given_wins == "error"
    assert issubclass(pipeline_class("JSONParser+Filter"), Filter)


@pytest.mark.parametrize(
    "description",
    [
        {"mixins": []},
        {"mixins": ["JSONParser", "JSONParser"]},
        {"mixins": ["Jason"]},
        {"mixins": ["json:dumps"]},
        {"mixins": "JSONParser"},
        {"mixins": ["JSONParser"], "setings": {}},
        {"mixins": ["JSONParser"], "settings": {"only": 1}},
        {"mixins": ["realtime_core.pipeline:Pipeline", "JSONParser"]},
    ],
    ids=range(8),
)
def test_a_composition_that_cannot_be_is_refused(description: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        described(description)


def test_levels_of_acknowledgement_are_named_by_model() -> None:
    pipeline = Acknowledge(settings={"ack_by_model": "site.Comment:none,site.Vote:published"})
    assert pipeline.ack(MESSAGE) == "none"
    assert pipeline.ack(replace(MESSAGE, model="site.Other")) is None
    for wrong in ("site.Comment", "site.Comment:perhaps", "site.Comment:delivered"):
        with pytest.raises(ConfigurationError):
            Acknowledge(settings={"ack_by_model": wrong})


def test_a_redis_url_that_is_none_is_refused_without_its_password() -> None:
    argv = [
        sys.executable,
        "-m",
        "realtime_core.pipeline",
        "JSONParser+HTTPPublisher",
        "--queue",
        "q",
        "--box",
        "a=http://h:1",
    ]
    environment = {**os.environ, "REALTIME_PIPELINE_REDIS": "redis://:hunter2@127.0.0.1:6379x/0"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "redis://***@127.0.0.1:6379x/0" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
