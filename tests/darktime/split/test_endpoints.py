"""Endpoints: the application's own templates where they fit, ids collapsed by their look elsewhere, and never too many."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.errors import UsageError
from darktime.split.compare.endpoint import OTHER, Endpoints
from darktime.split.compare.templates import read_templates

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


@pytest.mark.parametrize("text", ["", "{", "{}", '{"paths": []}', "user/{id}", "/a b", "/{a"])
def test_a_file_that_names_none_is_refused(text):
    with pytest.raises(UsageError, match="endpoints file"):
        read_templates(text)
