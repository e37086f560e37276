"""The way of a prediction through the server: few files, and its features parsed once."""

from __future__ import annotations

import io
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from flask import Flask

from leadscore.settings import PROJECT_ROOT
from serving.server.rsgi import OF_EVERY_REQUEST, Bridge

MOST_FILES = 12
PACKAGES = ("leadscore", "serving")


def answered(bridge: Bridge, body: bytes) -> int:
    environ = {
        **OF_EVERY_REQUEST,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/predict",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    return bridge._answer(environ)[0]


def profiled(call: Callable[[], Any]) -> tuple[set[str], Counter[str]]:
    """Return the project's files whose functions are called, and how often each function in C is."""
    files, built_in = set[str](), Counter[str]()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)
        elif event == "c_call":
            built_in[argument.__qualname__] += 1

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    ours = {file for file in files if any(file.startswith(f"{PROJECT_ROOT / name}/") for name in PACKAGES)}
    return {file.removeprefix(f"{PROJECT_ROOT}/") for file in ours}, built_in


@pytest.mark.parametrize(
    ("named", "most_files"),
    [({}, MOST_FILES), ({"lead_id": "A-17"}, MOST_FILES + 1)],
    ids=["and no other", "and the one that remembers the score of a named lead"],
)
def test_a_prediction_crosses_twelve_files_and_parses_the_features_once(
    app: Flask, shelf: Any, features: dict[str, Any], named: dict[str, str], most_files: int
) -> None:
    """The body is decoded with its features left as they came; then they are, by the contract of the version."""
    shelf.activated()
    app.recorder.is_deferred = True  # as in a server
    bridge = Bridge(app, threading.Event(), threads=1, max_body_bytes=100_000)
    body = msgspec.json.encode({"org_id": "default", "features": features, **named})
    assert answered(bridge, body) == 200

    files, built_in = profiled(lambda: answered(bridge, body))

    assert len(files) <= most_files, sorted(files)
    assert "serving/server/rsgi.py" in files
    assert built_in["Decoder.decode"] == 2
    assert (built_in["decode"], built_in["convert"]) == (0, 0)
