"""Every error becomes an answer here: application/problem+json (RFC 9457), and nothing that the caller may not see.

An error that nobody expected is logged with its trace and answered 500 without detail.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from leadscore.errors import (
    ActiveVersionMoved,
    Conflict,
    Damaged,
    DatabaseUnavailable,
    Fault,
    InvalidFeatures,
    InvalidId,
    LeadscoreError,
    NotFound,
    RegistryUnavailable,
)
from serving.api.schema import Problem
from serving.telemetry.request_context import request_id

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 30

_log = logging.getLogger(__name__)

# what each code means; the page at /docs lists them, and a problem's `type` points there
CODES: dict[str, str] = {
    "invalid_json": "The body is not one JSON object in UTF-8.",
    "invalid_id": "An org id, a version id or a run id breaks the rule for ids.",
    "invalid_query": "A query parameter is unknown, repeated or out of its range.",
    "invalid_request": "The body has unknown, missing or wrong fields.",
    "invalid_features": "Features are missing, unknown, of the wrong type, not finite or out of range.",
    "nothing_scorable": "No item of the batch could be scored.",
    "bad_request": "The request is not well-formed HTTP.",
    "not_found": "There is no such route.",
    "no_active_model": "The org has no active model: it was never trained, or nothing passed the gate yet.",
    "version_not_found": "The org has no such version.",
    "report_not_found": "The version has no report: it was not judged yet, or by an earlier release.",
    "run_not_found": "There is no such training run.",
    "method_not_allowed": "The route does not answer this method; the header Allow lists those that it does.",
    "not_acceptable": "The answer is JSON, and the header Accept excludes it.",
    "request_timeout": "The body did not come in time.",
    "length_required": "The request has no Content-Length.",
    "too_large": "The body, or the batch, is larger than this server takes.",
    "unsupported_media_type": "The body must be application/json.",
    "not_activatable": "The version was held, refused or never judged.",
    "damaged": "The version's files are not what was written.",
    "already_training": "A training or another run of the org is queued or running.",
    "active_version_moved": "Another version is active than the caller expected.",
    "conflict": "The present state forbids it.",
    "insufficient_data": "The org has too little data to train a model and judge it.",
    "too_many_trainings": "As many training requests as this server takes are under way.",
    "model_unavailable": "The org's active version cannot be loaded and verified.",
    "registry_unavailable": "The model registry cannot be read or written.",
    "database_unavailable": "The CRM's database cannot be used, or is not set up.",
    "dagster_unavailable": "Dagster cannot be reached, or does not answer as expected.",
    "training_failed": "The training run failed or was cancelled.",
    "not_ready": "The server is stopping, or cannot read the model registry.",
    "headers_too_large": "The request's headers are larger than this server takes.",
    "not_implemented": "The request's transfer encoding is not supported.",
    "internal_error": "A defect of this server; it is logged under the request id.",
}

_CODE_OF_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    431: "headers_too_large",
    501: "not_implemented",
}

# the first kind that fits decides; None keeps the error's own code
_STATUS_OF_ERROR: tuple[tuple[type[LeadscoreError], int, str | None], ...] = (
    (InvalidId, 400, None),
    (InvalidFeatures, 422, None),
    (NotFound, 404, None),
    (ActiveVersionMoved, 412, None),
    (Conflict, 409, None),
    (Damaged, 503, "model_unavailable"),
    (RegistryUnavailable, 503, None),
    (DatabaseUnavailable, 503, None),
)


class Refusal(Exception):
    """A request that is refused with `status` and `code`; `faults` are all of its faults."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.faults = status, code, detail, faults
        self.headers = dict(headers or {})
        self.run_id = run_id


def code_of_status(status: int) -> str:
    """Return the code of an error that is known by its HTTP status only."""
    return _CODE_OF_STATUS.get(status, "bad_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error")


def problem_of(refusal: Refusal, request_id: str) -> Problem:
    """Return what the caller is told about `refusal`."""
    return Problem(
        type=f"/docs#{refusal.code}",
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=refusal.detail,
        instance=f"urn:request:{request_id}",
        code=refusal.code,
        request_id=request_id,
        error=refusal.detail,
        errors=refusal.faults,
        run_id=refusal.run_id or msgspec.UNSET,
    )


def refusal_of(error: LeadscoreError) -> Refusal:
    """Return the refusal that answers `error`."""
    for kind, status, code in _STATUS_OF_ERROR:
        if isinstance(error, kind):
            faults = error.faults if isinstance(error, InvalidFeatures) else ()
            detail = _counted(faults) if faults else error.message
            return Refusal(status, code or error.code, detail, faults=faults)
    return Refusal(500, "internal_error", CODES["internal_error"])


def _counted(faults: tuple[Fault, ...]) -> str:
    first = f"{faults[0].pointer}: {faults[0].detail}"
    return first if len(faults) == 1 else f"{first}; {len(faults) - 1} more in errors"


def invalid(faults: tuple[Fault, ...], status: int, code: str) -> Refusal:
    """Return the refusal of a request with `faults`; one in an id makes it a 400 of its own code."""
    if any(fault.code == "invalid_id" for fault in faults):
        status, code = 400, "invalid_id"
    return Refusal(status, code, _counted(faults), faults=faults)


def answer_refusal(refusal: Refusal) -> Response:
    """Return the HTTP answer to a refusal of the present request."""
    return _response(refusal, request_id())


def _response(refusal: Refusal, request_id: str) -> Response:
    response = Response(msgspec.json.encode(problem_of(refusal, request_id)), refusal.status)
    response.content_type = PROBLEM_TYPE
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    response.headers.update(refusal.headers)
    return response


def _answer_leadscore_error(error: LeadscoreError) -> Response:
    refusal = refusal_of(error)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", refusal.code, error.message)
    return answer_refusal(refusal)


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    code = code_of_status(status)
    allowed = error.get_response().headers.get("Allow")
    return answer_refusal(Refusal(status, code, CODES[code], headers={"Allow": allowed} if allowed else {}))


def _answer_os_error(error: OSError) -> Response:
    """Answer what the disk below the registry said; nothing else here touches one."""
    _log.exception("the model registry cannot be used: %s", type(error).__name__)
    return answer_refusal(Refusal(503, "registry_unavailable", CODES["registry_unavailable"]))


def _answer_defect(error: Exception) -> Response:
    _log.exception("defect: %s", type(error).__name__)
    return defect_response(request_id())


def defect_response(request_id: str) -> Response:
    """Return the answer to a request that met a defect of this server, whatever it was."""
    return _response(Refusal(500, "internal_error", CODES["internal_error"]), request_id)


def answer_errors(app: Flask) -> None:
    """Make `app` answer every error as a problem."""
    app.register_error_handler(Refusal, answer_refusal)
    app.register_error_handler(LeadscoreError, _answer_leadscore_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(OSError, _answer_os_error)
    app.register_error_handler(Exception, _answer_defect)
