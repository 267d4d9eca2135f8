"""What is in force at a location is what nginx would do: the innermost level that says anything replaces all others."""

import crossplane
import pytest

from darktime.errors import UsageError
from darktime.split.emit import _refuse_unread, choose
from darktime.split.in_force import places, user_of_workers

TEXT = """\
user www www; events { }
http {
  map_hash_max_size 128; map_hash_bucket_size 64; HTTP
  server {
    listen 80; listen 443 ssl; server_name a.example b.example; SERVER
    location / { proxy_pass http://x; LOCATION location /inner { uwsgi_pass y; INNER } }
    location @named { return 204; }
  }
}
"""


def found(tmp_path, **words):
    text = TEXT
    for word in ("HTTP", "SERVER", "LOCATION", "INNER"):
        text = text.replace(f" {word}", f" {words.get(word.lower(), '')}")
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    parsed = crossplane.parse(str(path), combine=True)
    assert parsed["status"] == "ok", parsed["errors"]
    tree = parsed["config"][0]["parsed"]
    assert user_of_workers(tree, "nobody") == "www"
    return {place.location: place for place in places(tree, "/default.log")}


LOG = "access_log {}.log short;"
DEFAULT = (("/default.log", "combined"),)


@pytest.mark.parametrize(
    ("words", "server_logs", "within", "off"),
    [
        ({}, DEFAULT, (None, None), False),
        ({"http": LOG.format("h") + LOG.format("i")}, (("h.log", "short"), ("i.log", "short")), (None, None), False),
        ({"http": "access_log off;"}, (), (None, None), True),
        ({"http": LOG.format("h"), "server": LOG.format("s")}, (), (None, None), False),
        ({"server": "access_log off;"}, (), (None, None), True),
        ({"location": LOG.format("l")}, DEFAULT, ((), (("l.log", "short"),)), False),
        ({"location": LOG.format("l"), "inner": LOG.format("n")}, DEFAULT, ((), ()), False),
        ({"inner": "access_log off;"}, DEFAULT, (None, ()), True),
    ],
)
def test_logs_of_every_level(tmp_path, words, server_logs, within, off):
    places = found(tmp_path, **words)
    assert places["/"].server_logs == places["/inner"].server_logs == server_logs
    assert (places["/"].logs, places["/inner"].logs) == within
    assert places["/inner"].log_off == off


def test_mirrors_of_every_level_and_where_things_stand(tmp_path):
    places = found(tmp_path, server="mirror /m; mirror /n;", inner="mirror off;")
    assert places["/"].mirrors == (("/m",), ("/n",))
    assert places["/inner"].mirrors == ()
    assert places["/"].name == "a.example /"
    assert places["/"].listens == ("80", "443")
    assert (places["/"].answers, places["/inner"].answers) == ("proxy_pass", "uwsgi_pass")
    assert places["/"].http_after.words == ("map_hash_bucket_size", "64")
    assert places["/"].at.words == ("location", "/")


def test_of_one_server_all_that_pass_requests_on_are_chosen_and_others_by_any_name_of_their_server(tmp_path):
    places = list(found(tmp_path).values())
    assert [place.location for place in choose(places, ())] == ["/", "/inner"]
    assert [place.location for place in choose(places, ("b.example /",))] == ["/"]
    with pytest.raises(UsageError, match="a named location is entered from others"):
        choose(places, ("a.example @named",))
    with pytest.raises(UsageError, match=r"there is none; there are 'a.example /', 'a.example /inner'"):
        choose(places, ("c.example /",))


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({}, None),
        ({"location": "mirror_request_body off;"}, "mirror_request_body off"),
        ({"http": "mirror_request_body off;"}, None),
        ({"server": "mirror_request_body off; mirror /m;"}, "mirror_request_body off"),
        ({"server": "mirror_request_body off; mirror /m;", "location": "mirror_request_body on;"}, None),
        ({"http": "mirror_request_body off;", "location": "mirror /m;"}, "mirror_request_body off"),
        ({"location": "mirror /m;"}, None),
        ({"http": "proxy_set_body x;"}, "proxy_set_body"),
        ({"server": "proxy_set_body x;"}, "proxy_set_body"),
        ({"location": "proxy_set_body x;"}, None),
    ],
)
def test_where_a_copy_could_not_have_its_body_that_is_refused(tmp_path, words, refused):
    place = found(tmp_path, **words)["/"]
    if refused is None:
        _refuse_unread([place])
    else:
        with pytest.raises(UsageError, match=refused):
            _refuse_unread([place])
