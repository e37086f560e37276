"""The bodies that cost a server most, of each shape the largest that its limits allow, or a little more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from leadscore.features import CONTRACT

PREDICT, BATCH = "/api/v1/predict", "/api/v1/predict/batch"
LEADS = 1_000
SMALL_BYTES = 65_536
# beyond this, Python's recursion limit ends the parsing early
DEEP = 900


class Shape(NamedTuple):
    """A body, where it is sent, and how it is answered."""

    name: str
    path: str
    body: bytes
    status: int


def worst_shapes(max_body_bytes: int = 2_000_000) -> list[Shape]:
    """Return them for a server with the default limits but for `max_body_bytes`."""
    return [*_batches(max_body_bytes), *_small_ones(), *_refused_by_length(max_body_bytes)]


def _batches(size: int) -> Iterator[Shape]:
    room = size - 200
    text, deep = _text(b"x", room), b'{"features":' + b"[" * DEEP + b"]" * DEEP + b"}"
    yield _batch("one huge text", b'{"lead_source_score":' + text + b"}", 413)
    yield _batch("one huge text of escapes", b'{"lead_source_score":' + _text(b"\\u00e9", room) + b"}", 413)
    yield _batch("one huge integer", b'{"lead_source_score":' + b"9" * room + b"}", 413)
    yield _batch("one huge fraction", b'{"lead_source_score":0.' + b"9" * room + b"}", 413)
    yield _batch("one huge name", b"{" + text + b":1}", 413)
    yield _batch("one huge id", b'{"lead_id":' + text + b"}", 413)
    yield _batch("one huge gap", b"{" + b" " * room + b"}", 413)
    yield Shape("batch: one huge org", BATCH, b'{"org_id":' + text + b',"batch":[{}]}', 413)
    few = room // SMALL_BYTES
    yield _batch("some texts of 64 kB", _items(b"{" + _text(b"x", SMALL_BYTES - 20) + b":1}", few))
    yield _batch("some texts of 64 kB in escapes", _items(b"{" + _text(b"\\u00e9", SMALL_BYTES - 20) + b":1}", few))
    yield _batch("some fractions of 64 kB", _items(b'{"a":0.' + b"9" * (SMALL_BYTES - 20) + b"}", few))
    yield _batch("some gaps of 64 kB", _items(b"{" + b" " * (SMALL_BYTES - 20) + b"}", few))
    share = size // LEADS - 30
    yield _batch("a large text in each item", _items(b'{"lead_source_score":' + _text(b"x", share) + b"}"))
    yield _batch("a large name in each item", _items(b"{" + _text(b"x", share) + b":1}"))
    yield _batch("a large id in each item", _items(b'{"lead_id":' + _text(b"x", share) + b"}"))
    yield _batch("a long integer in each item", _items(b'{"lead_source_score":' + b"9" * min(4_000, share) + b"}"))
    yield _batch("a long fraction in each item", _items(b'{"lead_source_score":0.' + b"9" * share + b"}"))
    yield _batch("31 unknown names in each item", b",".join(b"{" + _names(31, item) + b"}" for item in range(LEADS)))
    yield _batch("60 unknown names in each item", b",".join(b"{" + _names(60, item) + b"}" for item in range(LEADS)))
    yield _batch("eleven faults in each item", _items(json.dumps(dict.fromkeys(CONTRACT.names, "x")).encode()))
    yield _batch("a fault in one of all items", _items(json.dumps(CONTRACT.example).encode(), LEADS - 1) + b",{}", 200)
    yield _batch("as many empty items as are judged", _items(b"{}"))
    yield _batch("one item with 63,000 names", b"{" + _names(63_000) + b"}")
    yield _batch("one name 60,000 times", b"{" + _items(b'"lead_source_score":1', 60_000) + b"}")
    yield _batch("70 items nested deep", _items(deep, 70))
    yield _batch("900 items nested deep", _items(deep, 900), 413)
    yield _batch("millions of empty items", _items(b"{}", room // 3), 413)
    yield _batch("millions of numbers", _items(b"1", room // 2), 413)
    yield _batch("one item with 80,000 names", b"{" + _names(80_000) + b"}", 413)


def _small_ones() -> Iterator[Shape]:
    room = SMALL_BYTES - 200
    yield _predict("one large text", b'{"lead_source_score":' + _text(b"x", room) + b"}")
    yield _predict("one large integer", b'{"lead_source_score":' + b"9" * room + b"}", 400)
    yield _predict("one large fraction", b'{"lead_source_score":0.' + b"9" * room + b"}")
    yield _predict("one large name of escapes", b"{" + _text(b"\\u00e9", room) + b":1}")
    yield _predict("2,500 names", b"{" + _names(2_500) + b"}")
    yield _predict("one name 2,900 times", b"{" + _items(b'"lead_source_score":1', 2_900) + b"}")
    yield _predict("nested deep", b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}")
    yield _predict("nested too deep", b'{"a":' + b"[" * room, 400)
    yield Shape("2,500 names beside the features", PREDICT, b"{" + _names(2_500) + b"}", 422)


def _refused_by_length(size: int) -> Iterator[Shape]:
    text = _text(b"x", size - 200)
    yield _predict("one huge text", b'{"lead_source_score":' + text + b"}", 413)
    yield Shape("a rollback with one huge reason", "/api/v1/model/rollback", b'{"reason":' + text + b"}", 413)


def _predict(name: str, features: bytes, status: int = 422) -> Shape:
    return Shape(f"predict: {name}", PREDICT, b'{"features":' + features + b"}", status)


def _batch(name: str, items: bytes, status: int = 422) -> Shape:
    return Shape(f"batch: {name}", BATCH, b'{"batch":[' + items + b"]}", status)


def _items(item: bytes, count: int = LEADS) -> bytes:
    return b",".join([item] * count)


def _text(piece: bytes, size: int) -> bytes:
    return b'"' + piece * (size // len(piece)) + b'"'


def _names(count: int, item: int = 0) -> bytes:
    """Return as many names, near a known one, that no other item has."""
    return b",".join(b'"lead_source_%07d":1' % (item * count + number) for number in range(count))
