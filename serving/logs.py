"""Logging: one JSON object per line on stdout. No lead's data, no secret, no path that a caller chose."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from serving.known import known_if_any

# what every record has; anything else was given as `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# what several processes write to one pipe is not mixed up as long as a write is no longer (PIPE_BUF)
_BYTES_AT_A_TIME = 4_096


class JsonLines(logging.StreamHandler[Any]):
    """Writes each record as a JSON object; what a line was given as `extra` follows in order."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, with what is known of the request that it belongs to."""
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        if "request_id" not in fields:
            fields |= known_if_any()
        if record.exc_info:
            fields["exc_info"] = logging.Formatter().formatException(record.exc_info)
        return _encoded(record.created, record.levelname, record.getMessage(), fields, record.name)

    def write(self, lines: Iterable[str]) -> None:
        """Write lines that are formatted already, some of them at a time."""
        self.acquire()
        try:
            for some in _in_parts(lines):
                self.stream.write(some)
                self.stream.flush()
        except OSError:
            self.handleError(logging.makeLogRecord({}))
        finally:
            self.release()


def write_lines(logger: logging.Logger, level: int, lines: Sequence[tuple[float, str, dict[str, Any]]]) -> None:
    """Log many messages at once: each is a time, a text and its fields."""
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler, JsonLines)]
    for handler in ours:
        name = logging.getLevelName(level)
        handler.write(_encoded(created, name, message, fields, logger.name) for created, message, fields in lines)
    if not ours:
        for _, message, fields in lines:
            logger.log(level, message, extra=fields)


def write_json_lines(level: str) -> None:
    """Send every line of this process, the libraries' too, to stdout as JSON, from `level` on."""
    root = logging.getLogger()
    root.handlers = [JsonLines(sys.stdout)]
    root.setLevel(level)
    # a line per connection says nothing that our own lines and metrics do not
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    # a log that cannot be written must not stop an answer, nor fill stderr
    logging.raiseExceptions = False


def _encoded(created: float, level: str, message: str, fields: Mapping[str, Any], logger: str) -> str:
    at = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    line = {"timestamp": at, "level": level, "message": message, **fields, "logger": logger}
    return msgspec.json.encode(line, enc_hook=str).decode()


def _in_parts(lines: Iterable[str]) -> Iterator[str]:
    """Yield texts of whole lines, none longer than what is written undivided, unless a single line is."""
    part: list[str] = []
    size = 0
    for line in lines:
        byte_count = len(line.encode()) + 1
        if size + byte_count > _BYTES_AT_A_TIME and part:
            yield "".join(part)
            part, size = [], 0
        part.append(f"{line}\n")
        size += byte_count
    if part:
        yield "".join(part)
