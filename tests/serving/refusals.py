"""What every refusal of the server has in common."""

from __future__ import annotations

from werkzeug.test import TestResponse

from leadscore.settings import PROJECT_ROOT


def assert_refused(answer: TestResponse, *statuses: int) -> None:
    """Fail unless the answer is a whole problem with one of the statuses that says nothing of the inside."""
    assert answer.status_code in statuses, answer.text
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert body is not None
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["error"] == body["detail"] != ""
    assert body["status"] == answer.status_code
    assert body["type"] == f"/docs#{body['code']}"
    for secret in ("Traceback", ".py", str(PROJECT_ROOT), "canary"):
        assert secret not in answer.text
