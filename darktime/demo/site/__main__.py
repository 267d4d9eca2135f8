"""Serves the example site: ``python -m darktime.demo.site --database FILE --redis URL --queue NAME``."""

from __future__ import annotations

import argparse
import os
import signal
import sys

THREADS = 8


def main(argv: list[str] | None = None) -> int:
    """Create the tables and the threads, then serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m darktime.demo.site", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--database", required=True, metavar="FILE")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--queue", default="demo", metavar="NAME")
    parser.add_argument("--threads", type=int, default=10, help="threads of conversation to create")
    parser.add_argument("--settings", default="darktime.demo.site.settings", metavar="MODULE", help="Django's settings")
    options = parser.parse_args(argv)
    os.environ["DARKTIME_SITE_DATABASE"] = options.database
    os.environ["DARKTIME_SITE_REDIS"] = options.redis
    os.environ["DARKTIME_SITE_QUEUE"] = options.queue
    os.environ["DJANGO_SETTINGS_MODULE"] = options.settings

    import django
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from waitress.server import create_server

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)

    from darktime.demo.site.models import Thread

    Thread.objects.bulk_create(
        [Thread(id=number, title=f"Thread {number}") for number in range(1, options.threads + 1)], ignore_conflicts=True
    )
    host, _, port = options.listen.rpartition(":")
    server = create_server(
        get_wsgi_application(), host=host, port=int(port), threads=THREADS, clear_untrusted_proxy_headers=True
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {host}:{server.effective_port}", flush=True)
    try:
        server.run()
    finally:
        from django.apps import apps

        apps.get_app_config("site").ledger.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
