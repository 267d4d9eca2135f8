"""``python -m darktime.blast.calibrate CONNECTIONS [tls]``: what this generator reaches against a server that does nothing.

Both are processes of this machine, so that the server's speed does not count: the ceiling is how many requests one core
of the generator's own processor time is enough for. The result is a line of JSON on stdout. TLS needs the openssl
program, which makes the certificate; without it the exit code is 1.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 1.0
CONNECTIONS = 100
HANDSHAKE_S = 2.0
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def server_context(folder: Path) -> ssl.SSLContext:
    """With a certificate of its own. Raises OSError or subprocess.SubprocessError where openssl cannot make one."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=calibrate"
    argv = [*words.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True, timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def serve(listening: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Answer every read with one reply, until killed: requests are small and come one at a time."""
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    links: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                link, _ = listening.accept()
                if context is not None:
                    link.settimeout(HANDSHAKE_S)
                    link = context.wrap_socket(link, server_side=True)
                    link.setblocking(False)  # a ticket's acknowledgement is no request
                links[link.fileno()] = link
                poll.register(link.fileno(), select.EPOLLIN)
                continue
            try:
                if links[fd].recv(65_536):
                    links[fd].send(_REPLY)
                    continue
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                pass
            links.pop(fd).close()


def measure(host: str, port: int, connections: int, *, tls: bool = False) -> dict[str, float]:
    """Requests and processor seconds of one second of closed model."""
    from darktime.blast.cohort import Cohort  # noqa: PLC0415 - the server needs none of it
    from darktime.blast.requests import RequestPool  # noqa: PLC0415
    from darktime.blast.settings import resolve  # noqa: PLC0415
    from darktime.blast.sources import Fixed, get  # noqa: PLC0415
    from darktime.blast.tally import cpu_s  # noqa: PLC0415

    address = resolve(f"{'https' if tls else 'http'}://{host}:{port}", insecure=tls)
    cohort = Cohort()
    pool = RequestPool(cohort, address, Fixed(get(address, "/")), size=connections, timeout_s=5.0)
    pool.open()
    limit = time.monotonic() + 5
    while not pool.standing and time.monotonic() < limit:
        cohort.turn(0.05)
    pool.closed_model = True
    pool.start_closed()
    used, end = cpu_s(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        cohort.turn(0.05)
    used = cpu_s() - used
    requests = pool.take().requests
    pool.close()
    cohort.close()
    return {"requests": requests, "cpu_s": used}


def main(argv: list[str]) -> int:
    """Fork the server, measure, end it."""
    connections = min(int(argv[0]) if argv else CONNECTIONS, CONNECTIONS)
    tls = "tls" in argv[1:]
    context = None
    if tls:
        try:
            with tempfile.TemporaryDirectory(prefix="calibrate-") as folder:
                context = server_context(Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            sys.stderr.write(f"no certificate for a calibration over TLS: {error}\n")
            return 1
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)  # nobody may leave it behind
            with suppress(KeyboardInterrupt):
                serve(listening, context)
            os._exit(0)
        host, port = listening.getsockname()
    try:
        sys.stdout.write(json.dumps(measure(host, port, connections, tls=tls)) + "\n")
        sys.stdout.flush()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
