"""Locust's own page while a run goes on, with a tab of our exact figures beside its tables.

The page looks on. Its button to stop interrupts the run, which keeps what there was; those that would begin another
run, change this one or clear its counts are refused: a run is what its command line says.

Importing this patches the process (it loads Locust).
"""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import gevent
from flask import jsonify, make_response, request
from gevent import pywsgi
from locust import argument_parser
from locust.runners import STATE_INIT, STATE_SPAWNING, STATE_STOPPED
from locust.stats import stats_history
from locust.web import WebUI

from darktime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Response
    from locust.env import Environment

    from darktime.blast.master import Web

KEY = "darkesttime"
STATS = "/stats/requests"
REFUSED = {
    "/swarm": "this run is what its command line says: end it, and start another there",
    "/stats/reset": "the counts of a run are never cleared while it goes on",
    "/user": "this run is what its command line says: end it, and start another there",
}
STOPPED = "The run is being interrupted; what there was is kept."
LOOK_S = 0.05
# The buttons that are refused are not shown: edit, reset, new. Should Locust call them otherwise, they are still refused.
HIDDEN = (
    b"<style>"
    + b",".join(b"header .MuiButton-color" + kind for kind in (b"Secondary", b"Warning", b"Success"))
    + b"{display:none}</style></head>"
)
# A page that was opened before the workers stand would show its form to start a run, and stay with it.
FORM, NO_FORM = f'"state": "{STATE_INIT}"'.encode(), f'"state": "{STATE_SPAWNING}"'.encode()
COLUMNS = {"name": "Figure", "value": "Value", "note": "What it is"}


class Page:
    """Listens from the beginning until ``close``. ``rows`` gives the tab's (figure, value, what it is) when asked."""

    def __init__(
        self,
        environment: Environment,
        listener: socket.socket,
        *,
        rows: Callable[[], Sequence[tuple[str, str, str]]],
        interrupt: Callable[[], None],
    ) -> None:
        host, port = listener.getsockname()[:2]
        self.address = f"http://{host}:{port}/"
        self._rows = rows
        self._runner: Any = environment.runner
        self._interrupt = interrupt
        # Its server is ours: theirs tells nobody when the port is taken, or which one it got.
        setattr(argument_parser, "ui_extra_args_dict", dict)  # noqa: B010 - it reads Locust's command line, which ours is not
        ui = WebUI(environment, host, port, delayed_start=True)
        ui.template_args["extended_tabs"] = [{"title": KEY, "key": KEY}]
        structure = [{"key": key, "title": title} for key, title in COLUMNS.items()]
        ui.template_args["extended_tables"] = [{"key": KEY, "structure": structure}]
        assert ui.app is not None
        ui.app.debug = False
        ui.app.before_request(self._guard)
        ui.app.after_request(self._extend)
        self._server = ui.server = pywsgi.WSGIServer(listener, ui.app, log=None, error_log=None)
        self._server.start()
        self._history = gevent.spawn(stats_history, self._runner)

    def close(self, stay_s: float, stop: Callable[[], bool]) -> None:
        """Answer nobody any more, after ``stay_s`` or once ``stop`` says so."""
        self._runner.update_state(STATE_STOPPED)
        until = time.monotonic() + stay_s
        while time.monotonic() < until and not stop():
            gevent.sleep(LOOK_S)
        self._history.kill()
        self._server.stop(timeout=1)

    def _guard(self) -> Response | None:
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and f"{origin}/" != f"{request.host_url}":
            return make_response(f"{origin} is another site: only the page itself may do that", 403)
        if request.path == "/stop":
            self._interrupt()
            return jsonify({"success": True, "message": STOPPED})
        refused = REFUSED.get(request.path)
        return jsonify({"success": False, "message": refused}) if refused else None

    def _extend(self, response: Response) -> Response:
        if request.path == "/":
            text = response.get_data().replace(b"</head>", HIDDEN, 1)
            response.set_data(text.replace(FORM, NO_FORM, 1))
        if request.path == STATS and response.is_json:
            data = [dict(zip(COLUMNS, row, strict=True)) for row in self._rows()]
            answer: dict[str, Any] = response.get_json()
            if answer["state"] == STATE_INIT:
                answer["state"] = STATE_SPAWNING
            response.set_data(json.dumps({**answer, "extended_stats": [{"key": KEY, "data": data}]}))
        return response


def listen(web: Web) -> socket.socket:
    """Take the page's port. Raises UsageError."""
    try:
        listener = socket.create_server((web.host, web.port))
    except OSError as error:
        raise UsageError(
            f"--web-port {web.port}: {web.host} does not give it ({error.strerror}); name another, or 0 for a free one"
        ) from error
    return listener
