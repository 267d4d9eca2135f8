"""Changing somebody's nginx configuration as text: directives stand where nginx's own parser's heirs say, nothing else moves."""

import subprocess

import crossplane
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.config_text import Insertion, diff, directives, insert

HARD = """\
# a comment with { braces }
user nobody; http { # one line
    log_format a '{"x":"$request"}' "b\\"c" ; map $a $b { default "";
      "~^\\d{3}$" 1; }
  server { listen 80; location ~ "^/\\d{3}$" { return 200 "${host}{"; } location / { proxy_pass http://x$uri; } }
\tserver
\t{
\t\tserver_name b;
\t\tlocation = /x { set $c "a;b}"; if ($c ~ "^{") { return 418; } }
\t}
}
"""


def told(text, tmp_path):
    """Line and words of every directive, by crossplane."""
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    parsed = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)
    assert parsed["status"] == "ok", parsed["errors"]
    found = []

    def walk(block):
        for node in block:
            found.append((node["line"], node["directive"], "block" in node))
            walk(node.get("block", []))

    walk(parsed["config"][0]["parsed"])
    return found


def test_directives_are_found_where_crossplane_finds_them(tmp_path):
    assert [(one.line, one.words[0], one.opens) for one in directives(HARD)] == told(HARD, tmp_path)


def test_an_insertion_stands_first_in_its_block_and_everything_else_stays():
    texts = {"a.conf": HARD}
    marks = [one for one in directives(HARD) if one.words[0] == "location"]
    assert len(marks) == 3
    wanted = [Insertion(file="a.conf", line=one.line, words=one.words, text="include /d/x.conf;") for one in marks]
    after = insert(texts, [*wanted, wanted[0]])["a.conf"]
    found = list(directives(after))
    for at, one in enumerate(found):
        if one.words[0] == "location":
            assert found[at + 1].words == ("include", "/d/x.conf")
    assert [one.words for one in found if one.words[0] != "include"] == [one.words for one in directives(HARD)]
    assert after.replace("include /d/x.conf;", "").split() == HARD.split()


def test_behind_a_directive_without_a_block():
    text = "http {\n\tmap_hash_max_size 4096;\n}\n"
    wanted = Insertion(file="a", line=2, words=("map_hash_max_size", "4096"), text="include x;")
    assert insert({"a": text}, [wanted])["a"] == "http {\n\tmap_hash_max_size 4096;\n\tinclude x;\n}\n"


def test_a_block_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="a:7: no location /"):
        insert({"a": "http {}"}, [Insertion(file="a", line=7, words=("location", "/"), text="x;")])


@pytest.mark.engine("patch")
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("a comment", "ein K\xe4se\x0c\x85").encode("latin-1"),
    ],
    ids=["plain", "no newline at its end", "lines of windows", "latin-1 and a form feed"],
)
def test_patch_makes_the_change_and_takes_it_back_byte_for_byte(tmp_path, change):
    before = change(HARD).decode("utf-8", "surrogateescape")
    path = tmp_path / "nginx.conf"
    path.write_bytes(change(HARD))
    first = next(directives(before))
    http = next(one for one in directives(before) if one.words == ("http",))
    wanted = [Insertion(file=str(path), line=http.line, words=http.words, text="include x;")]
    after = insert({str(path): before}, wanted)
    assert first.words == ("user", "nobody")
    for words, expected in ((["-p0"], after[str(path)]), (["-R", "-p0"], before)):
        told = diff({str(path): before}, after).encode("utf-8", "surrogateescape")
        subprocess.run(["patch", *words], input=told, check=True, cwd="/", timeout=10)
        assert path.read_bytes() == expected.encode("utf-8", "surrogateescape")


@given(st.text(alphabet="ab{};#\"'\\$ \n\t", max_size=60))
def test_whatever_stands_there_it_is_read_to_its_end(text):
    offsets = [one.offset for one in directives(text)]
    assert offsets == sorted(offsets)
    assert all(0 < offset <= len(text) for offset in offsets)
