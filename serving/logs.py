"""Logging: one JSON object per line on stdout. No lead's data, no secret, no path that a caller chose."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from flask import g, has_app_context
from pythonjsonlogger.json import JsonFormatter

_REQUEST_FIELDS = ("request_id", "org_id", "version")


class _Formatter(JsonFormatter):
    """Names the fields as every other part of the system does."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)
        log_data["timestamp"] = moment.isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        super().add_fields(log_data, record, message_dict)
        log_data["logger"] = record.name


class _RequestFields(logging.Filter):
    """Adds what is known of the request that a line belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_app_context():
            for name in _REQUEST_FIELDS:
                if name in g and not hasattr(record, name):
                    setattr(record, name, g.get(name))
        return True


def write_json_lines(level: str) -> None:
    """Send every line of this process, the libraries' too, to stdout as JSON, from `level` on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter("%(message)s"))
    handler.addFilter(_RequestFields())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # a line per connection, or per request that waits for a thread, says nothing that our own lines and metrics do not
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger("waitress").setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # a log that cannot be written must not stop an answer, nor fill stderr
    logging.raiseExceptions = False
