"""What is known of the request that is being answered, for its log line: its id, and its org and version once they are.

It lies in the request's environment, where one look finds it.
"""

from __future__ import annotations

from typing import Any

from flask import has_request_context, request

KNOWN = "leadscore.known"


def known() -> dict[str, Any]:
    """Return what is known: `request_id`, and perhaps `org_id` and `version`. What is put in is known from then on."""
    found: dict[str, Any] = request.environ[KNOWN]
    return found


def known_if_any() -> dict[str, Any]:
    """Return what is known of the request, or nothing where none is being answered."""
    return request.environ.get(KNOWN, {}) if has_request_context() else {}


def request_id() -> str:
    """Return the id of the request that is being answered."""
    found: str = known()["request_id"]
    return found
