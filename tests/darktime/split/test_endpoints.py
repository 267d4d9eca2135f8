"""Endpoints: the application's own templates where they fit, ids collapsed by their look elsewhere, and never too many."""

import json
import re
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.compare.endpoint import OTHER, Endpoints
from darktime.split.compare.templates import read_templates
from darktime.split.compare.wildcards import KINDS, Wildcards

OWN = [
    "/user/{id}",
    "/user/me",
    "/user/{id}/posts/{slug}",
    "/files/{name}.json",
    "/files/{name}",
    "/a/{x}/b",
    "/{any}/c/d",
]


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        ("/user/12", "/user/{id}"),
        ("/user/ann?x=1", "/user/{id}"),
        ("/user/me", "/user/me"),
        ("/user/me/posts/hello", "/user/{id}/posts/{slug}"),
        ("/files/x.json", "/files/{name}.json"),
        ("/files/x.txt", "/files/{name}"),
        ("/a/c/d", "/{any}/c/d"),
        ("/thread/12", "/thread/{id}"),
        ("/user/", "/user/"),
    ],
)
def test_of_templates_that_fit_the_one_with_the_earlier_words_is_taken(target, endpoint):
    assert Endpoints(OWN).of(target) == endpoint


def test_names_beyond_the_most_are_one_other_and_known_ones_stay():
    names = Endpoints(OWN, most=len(OWN) + 2)
    assert [names.of(f"/{word}") for word in ("x", "y", "z", "x")] == ["/x", "/y", OTHER, "/x"]
    assert names.of("/user/12") == "/user/{id}"


@given(st.lists(st.text(max_size=30).map("/".__add__), max_size=300))
def test_whatever_is_asked_for_there_are_few_names(targets):
    names = Endpoints(most=20)
    found = {names.of(target) for target in targets}
    assert len(found) <= 21
    assert [names.of(target) for target in targets] == [names.of(target) for target in targets]


def test_templates_are_read_from_openapi_with_its_servers_path_and_from_a_list():
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://x.example/v1/"}],
        "paths": {"/user/{id}": {}, "/a": {}},
    }
    assert read_templates(json.dumps(document)) == ("/v1/user/{id}", "/v1/a")
    assert read_templates(json.dumps({"swagger": "2.0", "basePath": "/v2", "paths": {"/a": {}}})) == ("/v2/a",)
    assert read_templates("# mine\n/user/{id}\n\n/a\n") == ("/user/{id}", "/a")


YAML = """\
# Made by hand.
---
openapi: "3.1.0"
info: {title: Shop, description: "paths: {/not: {}}"}
x-common: &common
  get: {responses: {200: {description: it}}}
servers:
  - url: https://x.example/v1/
    description: today
  - {url: /v2}
paths:
  /user/{id}: *common
  "/a":
    <<: *common
    parameters: [{name: paths, schema: {/neither: 1}}]
  ? /b
  : *common
  x-internal: true
components: {paths: {/nor/this: {}}}
...
"""


def test_templates_are_read_from_openapi_in_yaml_as_people_write_it():
    paths = ("/user/{id}", "/a", "/b")
    assert read_templates(YAML) == tuple(f"{base}{path}" for base in ("/v1", "/v2") for path in paths)
    assert read_templates("\ufeff" + YAML) == read_templates(YAML)
    assert read_templates('swagger: "2.0"\nbasePath: /v2\nservers:\npaths:\n    /a: {}\n') == ("/v2/a",)


def test_what_aliases_would_grow_to_costs_nothing():
    lists = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 30))
    merged = "".join(f"  m{n}: &m{n}\n    <<: [{', '.join([f'*m{n - 1}'] * 10)}]\n" for n in range(1, 30))
    bomb = f"x-bomb:\n  l0: &l0 lol\n{lists}  m0: &m0 {{a: b}}\n{merged}paths:\n  /user/{{id}}: *l29\n  /a: *m29\n"
    tracemalloc.start()
    try:
        assert read_templates(bomb) == ("/user/{id}", "/a")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_without_what_reads_yaml_the_extra_is_named_and_json_is_read_all_the_same(monkeypatch):
    monkeypatch.setattr("darktime.extras.missing", list)
    with pytest.raises(UsageError, match=re.escape("pip install 'darktime[split]'")):
        read_templates(YAML)
    assert read_templates('{"paths": {"/a": {}}}') == ("/a",)


def test_without_the_library_in_c_it_reads_the_same(monkeypatch):
    monkeypatch.delattr("yaml.CSafeLoader")
    assert read_templates(YAML)[0] == "/v1/user/{id}"
    with pytest.raises(UsageError, match="line 1 is more than 200 levels deep"):
        read_templates("paths: " + "[" * 100_000)


def test_a_large_document_is_refused_before_it_is_read():
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_templates("paths:\n" + "  # \n" * (16 * 2**20 // 5))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openapi: 3.0.0\npaths:\n  /a: {\n  /b: {}\n", "no YAML at line 5, column 1: "),
        ("openapi: 3.0.0\npaths:\n\t/a: {}\n", "line 3, column 1"),
        ("openapi: 3.0.0\npaths:\n  /a: \x01\n", "line 3: "),
        ("openapi: 3.0.0\npaths: [/a]\n", "has no 'paths'"),
        ("openapi: 3.0.0\npaths: *elsewhere\n", "line 2 has paths by the alias *elsewhere: write them there"),
        ("openapi: 3.0.0\nservers: [*one]\npaths: {/a: }\n", "line 2 has servers by the alias *one: write them there"),
        ("openapi: 3.0.0\npaths:\n  /a: {}\n  <<: *more\n", "line 4 merges paths from elsewhere: write them there"),
        ("openapi: 3.0.0\nservers: 5\npaths: {/a: }\n", "'servers' are no list"),
        ("openapi: 3.0.0\nservers: {url: /v1}\npaths: {/a: }\n", "'servers' are no list"),
        ("paths: " + "[" * 300, "line 1 is more than 200 levels deep"), ("paths: " + "[" * 100_000, "line 1"),
        ("paths:\n" + "".join(" " * n + "a:\n" for n in range(1, 400)), "line 201 is more than 200 levels deep"),
    ],
)  # fmt: skip
def test_yaml_that_cannot_be_read_is_refused_with_its_line(text, told):
    with pytest.raises(UsageError, match=re.escape(told)) as refused:
        read_templates(text)
    assert "endpoints file" in str(refused.value)


DEEP = '{"a":' * 100_000


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{}", '{"paths": []}', "user/{id}", "/a b", "/{a", '{"paths": {"/a": {}}, "servers": 5}',
        '{"paths": {"/a": {}}, "servers": {"url": "/v1"}}', '{"paths": {"/a": {}}, "servers": [{"url": "http://[::1"}]}',
        pytest.param(DEEP, id="deep"),
    ],
)  # fmt: skip
def test_a_file_that_names_none_is_refused(text):
    with pytest.raises(UsageError, match="endpoints file"):
        read_templates(text)


VALUES = {
    "int": st.integers(0, 10**9).map(str),
    "uuid": st.uuids().map(str),
    "slug": st.from_regex(r"[-a-zA-Z_]{1,9}", fullmatch=True),
    "str": st.from_regex(r"[a-z.~]{1,9}", fullmatch=True),
    "path": st.from_regex(r"[a-z/.]{1,12}", fullmatch=True),
}
PARTS = st.sampled_from(["word", *VALUES])


@settings(deadline=None)  # a shared machine's load is not what it is about
@given(
    shapes=st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=5, unique_by=tuple),
    data=st.data(),
)
def test_a_path_made_from_a_template_is_named_by_it_without_what_its_names_stand_for(shapes, data):
    def template(at, shape, *, typed):
        pieces = [
            f"w{at}" if one == "word" else f"{{x{n}:{one}}}" if typed else f"{{x{n}}}" for n, one in enumerate(shape)
        ]
        return "/".join(["", f"own{at}", *pieces])

    names = Endpoints([template(at, shape, typed=True) for at, shape in enumerate(shapes)])
    for at, shape in enumerate(shapes):
        pieces = [f"w{at}" if one == "word" else data.draw(VALUES[one]) for one in shape]
        assert names.of("/".join(["", f"own{at}", *pieces])) == template(at, shape, typed=False)


def test_of_two_that_fit_the_narrower_is_taken_and_what_goes_over_slashes_comes_last():
    names = Endpoints(
        ["/a/{all:path}", "/a/{any}", "/a/{s:slug}", "/a/{n:int}", "/a/{u:uuid}", "/a/{x}/b", "/a/{x:odd}/c"]
    )
    asked = ["12", "ab-c", "a.b", "a/b/c", "7/b", "00000000-0000-0000-0000-000000000000", "", "7/c"]
    assert [names.of(f"/a/{one}") for one in asked] == [
        "/a/{n}", "/a/{s}", "/a/{any}", "/a/{all}", "/a/{x}/b", "/a/{u}", "/a/{all}", "/a/{x:odd}/c",
    ]  # fmt: skip


@settings(max_examples=400)
@given(
    pieces=st.lists(
        st.sampled_from([*(f"{{x:{kind}}}" for kind in KINDS), "{}", "-", "a", "1", "/", "ab"]), max_size=6
    ),
    data=st.data(),
)
def test_a_part_fits_what_the_regular_expression_of_its_names_does(pieces, data):
    made = [f"(?:{KINDS[piece[3:-1] or 'str']})" if piece[0] == "{" else piece for piece in pieces]
    expression = re.compile("".join(made), re.DOTALL)
    alike = st.from_regex(expression, fullmatch=True).filter(lambda text: len(text) < 60)
    text = data.draw(st.one_of(alike, st.text("a1-/b", max_size=14)))
    assert Wildcards("".join(pieces)).fit(text) == (expression.fullmatch(text) is not None)


NAMES = st.sampled_from([*(f"{{x:{kind}}}" for kind in KINDS), "{}"])
HOSTILE = ["1", "a", "-", "a-", "1-", "/", "a/", "aa-11", "1/a"]


@settings(deadline=None, max_examples=150)
@given(
    names=st.lists(NAMES, min_size=1, max_size=6),
    between=st.sampled_from(["", "-", "1", "a", "/", "-a"]),
    repeated=st.sampled_from(HOSTILE),
)
def test_no_path_keeps_a_template_busy(names, between, repeated):
    endpoints = Endpoints(["/" + between.join(names) + ".html"])
    path = ("/" + repeated * 2048)[:2047] + "!"
    began = time.thread_time()
    endpoints.of(path)
    assert time.thread_time() - began < 0.1  # some ms of an idle core; what divides the path in all ways takes hours


def test_a_path_that_is_too_long_fits_no_template_and_none_is_kept():
    names = Endpoints(["/a/{x}"])
    assert names.of("/a/" + "x" * 2_000) == "/a/{x}"
    assert names.of("/a/" + "x" * 2_046) == "/a/{id}"
    before = len(names._known)
    names.of("/b/" + "x" * 1_022)
    assert len(names._known) == before == 0
    names.of("/b/" + "x" * 1_021)
    assert len(names._known) == 1
