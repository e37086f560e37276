"""The API's description, as a client gets it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """Give the description of the API."""
    return dict(client.get("/openapi.json").json or {})
