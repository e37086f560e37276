"""Turns every error into an answer of type application/problem+json (RFC 9457) that hides internal details.

A browser that asked for a page gets the problem as a page, which `problem_pages` writes.

An unexpected error is logged with its traceback and answered with 500 and no details.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from leadscore.errors import Fault, InvalidFeatures, LeadscoreError, NotFound, RegistryUnavailable, all_errors
from serving.api.problem_pages import is_for_a_browser, problem_page
from serving.api.schema import Problem
from serving.telemetry.request_context import request_id

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 30

_log = logging.getLogger(__name__)

# Codes that no error class has: one for each status with which HTTP itself refuses, and those that only routes use.
_OF_STATUS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is not well-formed HTTP."),
    404: (NotFound.code, NotFound.meaning),
    405: (
        "method_not_allowed",
        "The route does not support this method; the header Allow lists those that it supports.",
    ),
    406: (
        "not_acceptable",
        "The header Accept excludes every type in which the answer can be had; most answers are JSON.",
    ),
    408: ("request_timeout", "The request's body did not arrive in time."),
    411: ("length_required", "The request has no Content-Length."),
    413: ("too_large", "The body or the batch is larger than this server allows."),
    415: ("unsupported_media_type", "The body must be application/json."),
    431: ("headers_too_large", "The request's headers are larger than this server allows."),
    500: (LeadscoreError.code, LeadscoreError.meaning),
    501: ("not_implemented", "The request's transfer encoding is not supported."),
}

_OF_ROUTES: dict[str, tuple[int, str]] = {
    "invalid_json": (400, "The body is not one JSON object in UTF-8."),
    "invalid_query": (400, "A query parameter is unknown, repeated or out of its range."),
    "unauthorized": (401, "The request has no valid token; send one in the header Authorization."),
    "forbidden": (403, "The token does not have the scope, or is not for the org."),
    "foreign_origin": (403, "A page of another site may not change anything here."),
    "unknown_host": (421, "The header Host does not name this server; see the setting ALLOWED_HOSTS."),
    "report_not_found": (
        404,
        "The version has no report: it is not judged yet, an earlier release judged it, or it was old and is removed.",
    ),
    "org_not_found": (404, "The org is not known here: it was neither trained nor scored."),
    "org_not_scored": (404, "The org's open leads were never scored."),
    "lead_not_found": (404, "The org has no lead of this id, or none that was created by now."),
    "lead_not_scored": (
        404,
        "The lead has no score: it is not an open lead of the org, or was left out or not there yet.",
    ),
    "damaged": (409, "The version's files are missing or damaged."),  # of the version that a rollback names
    "invalid_request": (422, "The body has unknown, missing or invalid fields."),
    "invalid_lead": (422, "The lead's features in the CRM break the contract of the model."),
    "nothing_scorable": (422, "No item of the batch could be scored."),
    "insufficient_data": (422, "The org has too little data to train a model and judge it."),
    "not_ready": (503, "The server is stopping, or cannot read the model registry."),
    "training_failed": (503, "The training run failed or was cancelled."),
}


def _all_codes() -> dict[str, tuple[int, str]]:
    """Return every code's status and meaning, in the order of the statuses."""
    of_classes = {kind.code: (kind.status, kind.meaning) for kind in all_errors() if kind.answered_as() is kind}
    of_status = {code: (status, meaning) for status, (code, meaning) in _OF_STATUS.items()}
    return dict(sorted((of_status | _OF_ROUTES | of_classes).items(), key=lambda entry: (entry[1][0], entry[0])))


STATUSES: dict[str, int] = {code: status for code, (status, _) in _all_codes().items()}
# what each code means; the page at /docs lists them, and a problem's `type` points there
CODES: dict[str, str] = {code: meaning for code, (_, meaning) in _all_codes().items()}


class Refusal(Exception):
    """Refuses the request with `status` and `code`; `faults` holds every fault of the request."""

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


_DEFECT = Refusal(LeadscoreError.status, LeadscoreError.code, LeadscoreError.meaning)


def code_of_status(status: int) -> str:
    """Return the code that stands for an HTTP status."""
    code, _ = _OF_STATUS.get(status) or _OF_STATUS[400 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 500]
    return code


def problem_of(refusal: Refusal, request_id: str) -> Problem:
    """Return the problem that the caller receives for `refusal`."""
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


def refusal_of(
    error: LeadscoreError, *, headers: Mapping[str, str] | None = None, run_id: str | None = None
) -> Refusal:
    """Return the refusal that answers `error`; it hides the text of errors that callers cannot cause."""
    kind = error.answered_as()
    if kind is LeadscoreError:
        return Refusal(kind.status, kind.code, kind.meaning)
    faults = error.faults if isinstance(error, InvalidFeatures) else ()
    detail = _counted(faults) if faults else error.message
    return Refusal(kind.status, kind.code, detail, faults=faults, headers=headers, run_id=run_id)


def _counted(faults: tuple[Fault, ...]) -> str:
    first = f"{faults[0].pointer}: {faults[0].detail}"
    return first if len(faults) == 1 else f"{first}; {len(faults) - 1} more in errors"


def invalid(faults: tuple[Fault, ...], status: int, code: str) -> Refusal:
    """Return the refusal of a request with `faults`: 400 `invalid_id` when an id is among them."""
    if any(fault.code == "invalid_id" for fault in faults):
        status, code = 400, "invalid_id"
    return Refusal(status, code, _counted(faults), faults=faults)


def answer_refusal(refusal: Refusal) -> Response:
    """Return the HTTP answer that refuses the present request."""
    problem = problem_of(refusal, request_id())
    if is_for_a_browser():
        return _completed(problem_page(problem, CODES[refusal.code]), refusal)
    return _completed(_response(problem), refusal)


def _response(problem: Problem) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, content_type=PROBLEM_TYPE)


def _completed(response: Response, refusal: Refusal) -> Response:
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
    """Answer an error of the disk; in a request, only the registry reads or writes files."""
    _log.exception("the model registry cannot be used: %s", type(error).__name__)
    return answer_refusal(refusal_of(RegistryUnavailable(RegistryUnavailable.meaning)))


def _answer_defect(error: Exception) -> Response:
    _log.exception("defect: %s", type(error).__name__)
    return answer_refusal(_DEFECT)


def defect_response(request_id: str) -> Response:
    """Return the answer to a request that met a defect of this server before Flask had it."""
    return _response(problem_of(_DEFECT, request_id))


def answer_errors(app: Flask) -> None:
    """Make `app` answer every error as a problem."""
    app.register_error_handler(Refusal, answer_refusal)
    app.register_error_handler(LeadscoreError, _answer_leadscore_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(OSError, _answer_os_error)
    app.register_error_handler(Exception, _answer_defect)
