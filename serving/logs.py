"""Logging: one JSON object per line on stdout. No lead's data, no secret, no path that a caller chose."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from serving.known import known_if_any

# what every record has; anything else was given as `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# what several processes write to one pipe is not mixed up as long as a write is no longer (PIPE_BUF)
_BYTES_AT_A_TIME = 4_096
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Line(NamedTuple):
    """A message: when (seconds since 1970), its text, and its fields."""

    created_seconds: float
    message: str
    fields: dict[str, Any]


class JsonLines(logging.StreamHandler[Any]):
    """Writes each record as a JSON object; what a line was given as `extra` follows in order."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, with what is known of the request that it belongs to."""
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        if "request_id" not in fields:
            fields |= known_if_any()
        if record.exc_info:
            fields["exc_info"] = logging.Formatter().formatException(record.exc_info)
        line = Line(record.created, record.getMessage(), fields)
        return _encoded(line, record.levelname, record.name).decode()

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines that are formatted already, some of them at a time."""
        self.acquire()
        try:
            for some in _in_parts(lines):
                self.stream.write(some.decode())
                self.stream.flush()
        except OSError:
            self.handleError(logging.makeLogRecord({}))
        finally:
            self.release()


def write_lines(logger: logging.Logger, level: int, lines: Sequence[Line]) -> None:
    """Log many messages at once."""
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler, JsonLines)]
    for handler in ours:
        name = logging.getLevelName(level)
        handler.write(_encoded(line, name, logger.name) for line in lines)
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


def _encoded(line: Line, level: str, logger: str) -> bytes:
    created_seconds, message, fields = line
    at = datetime.fromtimestamp(created_seconds, UTC).isoformat(timespec="milliseconds")
    return _ENCODER.encode({"timestamp": at, "level": level, "message": message, **fields, "logger": logger})


def _in_parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines joined, none longer than what is written undivided, unless a single line is."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        byte_count = len(line) + 1
        if size + byte_count > _BYTES_AT_A_TIME and part:
            yield b"".join(part)
            part, size = [], 0
        part += (line, b"\n")
        size += byte_count
    if part:
        yield b"".join(part)
