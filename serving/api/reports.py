"""The model report: a page that was written when its version was judged, verified and sent as stored."""

from __future__ import annotations

from flask import Blueprint, Response, request

from leadscore.errors import NotKept, VersionRemoved
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.store import REPORT_FILE
from serving.api.endpoint import VERSION_HEADER, endpoint
from serving.api.page import PAGE_TYPE, page
from serving.api.problems import Refusal
from serving.api.schema import VersionQuery
from serving.services import Services

routes = Blueprint("report", __name__, url_prefix="/api/v1/model")


@routes.get("/report")
@endpoint(
    {200: PAGE_TYPE},
    scope="read",
    query=VersionQuery,
    refusals={
        400: ("invalid_id",),
        404: ("no_active_model", "version_not_found", "report_not_found"),
        409: ("org_changed",),
        503: ("model_unavailable", "registry_unavailable"),
    },
)
def report(services: Services, query: VersionQuery) -> Response:
    """Show a version's report, an HTML page; without `version`, the active version's.

    The ETag is the report's SHA-256. With `If-None-Match`, the answer to an unchanged report is 304 without a body.
    """
    services.registry.check_same_customer(query.org_id)
    version = query.version or services.models.own_pointer(query.org_id).version
    try:
        content = services.registry.judged_file(query.org_id, version, REPORT_FILE)
    except NotKept as error:
        raise Refusal(404, "report_not_found", _not_kept(version)) from error
    except VersionRemoved as error:
        raise Refusal(404, "report_not_found", _removed(version)) from error
    response = page(content)
    response.headers[VERSION_HEADER] = version
    # it is an org's own, and which version is active may change at any time
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(sha256_of(content))
    response.make_conditional(request)
    return response


def _removed(version: str) -> str:
    return f"version {version} was old, and its report was removed; its figures are in the list of versions"


def _not_kept(version: str) -> str:
    return f"version {version} has no report: not judged yet, or judged by an earlier release; train again to get one"
