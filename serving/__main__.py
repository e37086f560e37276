"""`python -m serving`: the HTTP server on HOST:PORT, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys

from leadscore.engine.native import kernels
from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from serving.app import create_app, prepare_registry
from serving.http_server import HttpServer
from serving.logs import write_json_lines

_log = logging.getLogger("serving")


def main() -> int:
    """Serve until told to stop; return the exit code."""
    try:
        settings = read_settings()
        write_json_lines(settings.log_level)
        prepare_registry(settings)
        kernels()  # now, so that no request waits for it
        server = HttpServer(create_app(settings), settings)
    except LeadscoreError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    _log.info("listening", extra={"host": settings.host, "port": server.port})
    server.run()
    _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
