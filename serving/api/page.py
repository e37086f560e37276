"""Pages of HTML: their content type, and the policy that keeps scripts and external content off them."""

from __future__ import annotations

from flask import Response

PAGE_TYPE = "text/html; charset=utf-8"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
FORM_POLICY = PAGE_POLICY.replace("form-action 'none'", "form-action 'self'")


def page(content: str | bytes, status: int = 200, *, has_form: bool = False) -> Response:
    """Return `content` as a page of HTML whose policy forbids scripts and external content.

    Only a page that `has_form` may send one, to this server alone.
    """
    response = Response(content, status, content_type=PAGE_TYPE)
    response.headers["Content-Security-Policy"] = FORM_POLICY if has_form else PAGE_POLICY
    return response
