"""A Django project's URLs as endpoints: what ``reverse`` makes is named by the pattern that made it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from darktime.console.endpoints import kept
from darktime.console.main import DARKTIME, run
from darktime.errors import UsageError
from darktime.split.compare.endpoint import Endpoints
from darktime.split.compare.regex_template import MOST_FORMS, forms
from darktime.split.django_urls import templates_of
from tests.support.processes import kill

ROOT = Path(__file__).parents[3]
SITE = {
    "/", "/thread/{thread_id:int}", "/thread/{thread_id:int}/comments", "/comments/{comment_id:int}/edit",
    "/comments/{comment_id:int}/delete", "/metrics",
}  # fmt: skip
SETTINGS = """\
SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
USE_I18N = True
FORCE_SCRIPT_NAME = {script!r}
print("a project may print")
"""
URLS = """\
from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path, re_path, register_converter


class Year:
    regex = "[12][0-9]{3}"
    to_python = int

    def to_url(self, value):
        return f"{value:04d}"


class Anything:
    regex = "[^?]+"

    def to_python(self, value):
        return value

    to_url = to_python


register_converter(Year, "year")
register_converter(Anything, "anything")


def view(request, **_):
    raise NotImplementedError


inner = [path("", view, name="list"), path("<int:pk>/", view, name="by_number"), path("<slug:name>/", view, name="by_name")]
urlpatterns = [
    path("", view, name="home"),
    path("user/<int:pk>", view, name="user"),
    path("user/me", view, name="me"),
    path("user/<int:pk>/posts/<slug:slug>.html", view, name="post"),
    path("files/<path:rest>", view, name="file"),
    path("files/<uuid:key>/raw", view, name="raw"),
    path("caf\\u00e9 {1}/<str:name>", view, name="cafe"),
    path("archive/<year:year>/", view, name="archive"),
    path("proxy/<anything:url>/end", view, name="proxy"),
    path("news/", include((inner, "news"), namespace="a")),
    path("other-news/<str:of>/", include((inner, "news"), namespace="b")),
    re_path(r"^articles/(?P<year>[0-9]{4})/(?P<rest>[a-z-]+)/$", view, name="article"),
    re_path(r"^page(?:/(?P<number>[0-9]+))?/$", view, name="page"),
    re_path(r"^old/(\\w+)-(\\d+)\\.php$", view, name="old"),
    re_path(r"^wiki/(?P<title>.*)$", view, name="wiki"),
    re_path(r"^re/(?P<who>[^/]+)/", include([path("at/<int:at>", view, name="within")])),
    re_path(r"^loose/(?P<pk>[0-9]+)", view, name="loose"),
    *i18n_patterns(path("about/<slug:what>/", view, name="about"), prefix_default_language=False),
]
"""
# By view: what makes its arguments, and the endpoint that its URLs are cases of.
VIEWS: dict[str, tuple[dict[str, str], str]] = {
    "home": ({}, "/"),
    "user": ({"pk": "int"}, "/user/{pk}"),
    "me": ({}, "/user/me"),
    "post": ({"pk": "int", "slug": "slug"}, "/user/{pk}/posts/{slug}.html"),
    "file": ({"rest": "path"}, "/files/{rest}"),
    "raw": ({"key": "uuid"}, "/files/{key}/raw"),
    "cafe": ({"name": "text"}, "/caf%C3%A9%20%7B1%7D/{name}"),
    "archive": ({"year": "year"}, "/archive/{year}/"),
    "proxy": ({"url": "path"}, "/proxy/{url}/end"),
    "a:list": ({}, "/news/"),
    "a:by_number": ({"pk": "int"}, "/news/{pk}/"),
    "a:by_name": ({"name": "word"}, "/news/{name}/"),
    "b:by_name": ({"of": "text", "name": "word"}, "/other-news/{of}/{name}/"),
    "article": ({"year": "year", "rest": "word"}, "/articles/{year}/{rest}/"),
    "page": ({"number": "int"}, "/page/{number}/"),
    "wiki": ({"title": "path"}, "/wiki/{title}"),
    "within": ({"who": "text", "at": "int"}, "/re/{who}/at/{at}"),
    "loose": ({"pk": "int"}, "/loose/{pk}{rest}"),
    "about": ({"what": "slug"}, "/{language}/about/{what}/"),
}
REVERSER = """\
import json, os, random, sys, uuid
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
django.setup()
from django.urls import resolve, reverse
from django.utils import translation
views = json.loads(sys.stdin.read())
draw = random.Random(7)
letters = "abcxyz"
texts = ["ann", "a b", "\\u00e9\\u00df", "x.y", "100%", "a;b=c", "{x}", "~me", "7"]
make = {
    "int": lambda: draw.randrange(10**9), "year": lambda: draw.randrange(1000, 3000),
    "uuid": lambda: uuid.UUID(int=draw.getrandbits(128)),
    "word": lambda: "".join(draw.choices(letters, k=5)), "text": lambda: draw.choice(texts),
    "slug": lambda: draw.choice(["a-b", "x_y", "12", "z9"]),
    "path": lambda: "/".join(draw.choices(texts, k=draw.randrange(1, 4))),
}
told = []
for view, kinds in views.items():
    for _ in range(25):
        with translation.override(draw.choice(["de", "pt-br"])):
            url = reverse(view, kwargs={name: make[kind]() for name, kind in kinds.items()})
            told.append([view, url])
json.dump(told, sys.__stdout__)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, in the working directory; settings are named nowhere."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "settings.py").write_text(SETTINGS.format(script=None))
    (tmp_path / "shop" / "urls.py").write_text(URLS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_what_reverse_makes_is_named_by_the_pattern_that_made_it(shop: Path) -> None:
    names = Endpoints(templates_of("django:shop.settings"))
    script = REVERSER.replace(
        "import django\n", "sys.path.insert(0, os.getcwd())\nsys.stdout = sys.stderr\nimport django\n", 1
    )
    kinds = {view: kinds for view, (kinds, _) in VIEWS.items()}
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(kinds), capture_output=True, text=True, timeout=25, check=True
    )
    found: dict[str, Counter[str]] = {}
    for view, url in json.loads(done.stdout):
        found.setdefault(view, Counter())[names.of(url + "?x=1")] += 1
    assert found == {view: Counter({endpoint: 25}) for view, (_, endpoint) in VIEWS.items()}
    assert names.of("/about/us-1/") == "/about/{what}/", "the default language has no prefix"
    assert names.of("/page/") == "/page/"
    assert names.of("/old/abc-12.php") == "/old/{1}-{2}.php"


def test_the_example_site_is_read_by_its_settings_and_by_its_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert set(templates_of("django:darktime.demo.site.settings")) == SITE
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "darktime.demo.site.settings")
    assert set(templates_of("django:darktime.demo.site.urls")) == SITE
    assert set(templates_of("django:")) == SITE


def test_a_plan_names_the_endpoints_of_a_project_and_a_relay_gets_them_in_a_private_file(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "shop" / "settings.py").write_text(SETTINGS.format(script="/app"))
    lines = [
        f'127.0.0.1 - - [01/Jan/2026:00:00:{n:02d} +0000] "GET {path} HTTP/1.1" 200 5 "-" "curl"'
        for n, path in enumerate(("/app/user/7", "/app/user/8", "/app/files/a/b/c"))
    ]
    (shop / "access.log").write_text("\n".join(lines) + "\n")
    words = [
        "plan",
        "--log",
        "access.log",
        "--percent",
        "50",
        "--key",
        "ip",
        "--endpoints",
        "django:shop.settings",
        "--json",
    ]
    assert run(DARKTIME, words) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {one["endpoint"] for one in plan["endpoints"]} == {"/app/user/{pk}", "/app/files/{rest}"}
    file = kept("django:shop.settings", ("/a", "/b/{x:int}"), shop)
    assert file is not None
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("/a\n/b/{x:int}\n", 0o600)
    assert kept(shop / "mine", ("/a",), shop) == shop / "mine"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("django:no_shop.settings", "No module named 'no_shop'"),
        ("django:shop.nothing", "No module named 'shop.nothing'"),
        ("django:shop.urls", "set DJANGO_SETTINGS_MODULE"), ("django:", "say django:PROJECT.settings"), ("django:a b", "please"),
        ("django:shop", "neither urlpatterns nor ROOT_URLCONF"),
        ("django:leaves", "SystemExit: 3"), ("django:dies", "ended the process"),
        ("django:shop.broken_settings", "URLs of shop.nowhere cannot be read"), ("django:shop.settings_empty", "names none"),
        ("no-such-file", "does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_ends_with_2_and_says_why(
    shop: Path, capsys: pytest.CaptureFixture[str], named: str, told: str
) -> None:
    (shop / "leaves.py").write_text("raise SystemExit(3)")
    (shop / "dies.py").write_text("import os; os._exit(7)")
    (shop / "empty.py").write_text("urlpatterns = []")
    (shop / "shop" / "broken_settings.py").write_text("SECRET_KEY = 'x'\nROOT_URLCONF = 'shop.nowhere'\n")
    (shop / "shop" / "settings_empty.py").write_text("SECRET_KEY = 'x'\nROOT_URLCONF = 'empty'\n")
    (shop / "access.log").write_text("\n")
    words = ["plan", "--log", "access.log", "--percent", "50", "--key", "ip", "--endpoints", named]
    assert run(DARKTIME, words) == 2
    assert told in capsys.readouterr().err


def test_what_a_project_leaves_running_holds_nobody_up(shop: Path) -> None:
    (shop / "busy.py").write_text(
        "import subprocess, sys, threading, time\n"
        "from shop.settings import *\n"
        "threading.Thread(target=time.sleep, args=(90,)).start()\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('left', 'w').write(str(left.pid))\n"
        "assert not sys.stdin.read()\n"
    )
    (shop / "busy_settings.py").write_text("from busy import *\n")
    began = time.monotonic()
    try:
        assert templates_of("django:busy_settings") == templates_of("django:shop.settings")
    finally:
        kill([int((shop / "left").read_text())])
    assert time.monotonic() - began < 20


def test_includes_that_multiply_are_cut_and_refused(shop: Path) -> None:
    optional = "".join(f"(?:{letter}/)?" for letter in "abcd")
    lines = ["from django.urls import include, re_path", "urlpatterns = [re_path('^end$', print)]"]
    lines += [f"urlpatterns = [re_path('^{optional}{number}/', include(urlpatterns))]" for number in range(12)]
    (shop / "many.py").write_text("\n".join(lines))
    (shop / "many_settings.py").write_text("SECRET_KEY = 'x'\nROOT_URLCONF = 'many'\n")
    began = time.monotonic()
    with pytest.raises(UsageError, match="more than 2,000 templates"):
        templates_of("django:many_settings")
    assert time.monotonic() - began < 20


def test_without_django_it_says_what_to_install(shop: Path) -> None:
    (shop / "django.py").write_text("raise ModuleNotFoundError(\"No module named 'django'\", name='django')")
    with pytest.raises(UsageError, match=r"Django is not installed for .*darktime\[django\]"):
        templates_of("django:shop.settings")


def test_nobody_else_loads_django() -> None:
    code = "import sys, darktime.console.endpoints, darktime.split.django_urls, darktime.split.relay.__main__\n"
    code += "print([one for one in sys.modules if one.partition('.')[0] == 'django'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (r"^blog/(page-([0-9]+)/)?$", ["blog/", "blog/{1:path}"]), (r"^(\w+)/(\d+)/?$", ["{1}/{2:int}", "{1}/{2:int}/"]),
        (r"^(?:left|right)/\d+\Z", ["left/{}", "right/{}"]),
        (r"^comments/(?:page-(?P<n>[0-9]+)/)?$", ["comments/", "comments/page-{n:int}/"]),
        (r"^(comments/(?:page-(?P<n>[0-9]+)/)?)$", ["comments/", "comments/page-{n:int}/"]),
        (r"^any/.+$", ["any/{:path}"]), (r"^archive/[0-9][0-9][0-9][0-9]\.html$", ["archive/{}.html"]),
        (r"^.[a-z](?:xy|[0-9])$", ["{:path}xy", "{:path}"]),
    ],
)  # fmt: skip
def test_a_regular_expression_makes_a_template_for_each_form_it_has(expression: str, found: list[str]) -> None:
    assert forms(expression) == (found, True)


def test_the_forms_of_an_expression_are_bounded() -> None:
    many: Any = forms("".join(f"a{number}?" for number in range(40)) + "$")
    assert len(many[0]) == MOST_FORMS
    assert len(set(many[0])) == MOST_FORMS
