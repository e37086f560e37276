"""An empty Flask app for servers that are not ours; runs in `.venv-bench`, and imports nothing of the project.

`python plain_app.py PORT PROCESSES` serves it with waitress, which has no processes of its own.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from flask import Flask, Response, request

MAX_BODY_BYTES = 100_000

app = Flask(__name__, static_folder=None)
app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES


@app.post("/predict")
def constant() -> Response:
    """Read the body and answer always the same."""
    request.get_data()
    return Response(b'{"status":"ok"}', content_type="application/json")


def asgi() -> Any:
    """Return the app for a server that speaks ASGI."""
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415  # only one of the servers needs it

    return WSGIMiddleware(app, workers=4)


def main(port: str, processes: str) -> None:
    """Serve with waitress, as many connections as ours takes, until told to stop."""
    from waitress.server import create_server  # noqa: PLC0415  # likewise

    listening = socket.create_server(("127.0.0.1", int(port)), backlog=1024)
    for _ in range(int(processes) - 1):
        if os.fork() == 0:
            break
    limits = {"connection_limit": 1_000, "channel_timeout": 5, "cleanup_interval": 2}
    create_server(app, sockets=[listening], threads=4, asyncore_use_poll=True, **limits).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
