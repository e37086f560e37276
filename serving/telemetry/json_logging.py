"""Logging: one JSON object per line on stdout, without a lead's data, secrets, or paths that a caller chose.

The server never logs a token. A caller may send one where it does not belong, such as in place of an org's id, so
every line is searched for tokens.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

import msgspec

from leadscore.tokens import TOKEN_START, TOKEN_TEXT
from serving.telemetry.log_writer import Spool
from serving.telemetry.request_context import request_context_if_any

# what every record has; anything else was given as `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
FLUSH_SECONDS = 2.0
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Line(NamedTuple):
    """A message: when (seconds since 1970), its text, and its fields."""

    created_seconds: float
    message: str
    fields: dict[str, Any]


class JsonLines(logging.Handler):
    """Writes each record as a JSON object; the fields of `extra` follow in their order."""

    def __init__(self, stream: IO[Any]) -> None:
        super().__init__()
        # a descriptor of its own: the thread that writes to it must never find it closed, or another file's
        self.spool = Spool(os.dup(stream.fileno()), _line_of_dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record for writing, with the context of its request."""
        try:
            self.spool.put([_line_of(record)])
        except Exception:
            # as every handler does: what cannot be logged harms nobody
            self.handleError(record)

    def flush(self) -> None:
        """Wait a moment for what is still to be written."""
        self.spool.flush(FLUSH_SECONDS)


def write_lines(logger: logging.Logger, level: int, lines: Sequence[Line]) -> None:
    """Log many messages at once."""
    ours = _ours()
    for handler in ours:
        name = logging.getLevelName(level)
        handler.spool.put([_encoded(line, name, logger.name) for line in lines])
    if not ours:
        for line in lines:
            logger.log(level, line.message, extra=line.fields)


def write_json_lines(level: str) -> None:
    """Send every line of this process, the libraries' too, to stdout as JSON, from `level` on."""
    root = logging.getLogger()
    root.handlers = [JsonLines(sys.stdout)]
    root.setLevel(level)
    # a line per connection says nothing that our own lines and metrics do not
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    # a log that cannot be written must not stop an answer, nor fill stderr
    logging.raiseExceptions = False


def flush_lines() -> None:
    """Wait a moment for what is still to be written."""
    for handler in _ours():
        handler.flush()


def take_dropped_lines() -> int:
    """Return how many lines were dropped since this was asked last."""
    return sum(handler.spool.take_dropped() for handler in _ours())


def _ours() -> list[JsonLines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, JsonLines)]


def _line_of_dropped(count: int) -> bytes:
    line = Line(
        time.time(), "log lines were dropped: nobody read them in time, or they could not be written", {"lines": count}
    )
    return _encoded(line, "WARNING", __name__)


def _line_of(record: logging.LogRecord) -> bytes:
    fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
    if "request_id" not in fields:
        fields |= request_context_if_any()
    if record.exc_info:
        fields["exc_info"] = logging.Formatter().formatException(record.exc_info)
    return _encoded(Line(record.created, record.getMessage(), fields), record.levelname, record.name)


def _encoded(line: Line, level: str, logger: str) -> bytes:
    created_seconds, message, fields = line
    at = datetime.fromtimestamp(created_seconds, UTC).isoformat(timespec="milliseconds")
    text = _ENCODER.encode({"timestamp": at, "level": level, "message": message, **fields, "logger": logger})
    if TOKEN_START in text:  # to look for it first takes a third of the time
        text = TOKEN_TEXT.sub(rb"\1[secret]", text)
    return text + b"\n"
