"""create_app: the one place where the Flask app is put together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from leadscore.settings import Settings
from serving.api.docs import routes as docs_routes
from serving.api.health import routes as health_routes
from serving.api.json_response import Encoded
from serving.api.problems import answer_errors
from serving.api.readiness import routes as readiness_routes
from serving.api.reports import routes as report_routes
from serving.api.request_hooks import begin, finish
from serving.api.scoring import routes as scoring_routes
from serving.api.trainings import routes as training_routes
from serving.api.versions import routes as model_routes
from serving.services import EXTENSION, Services, build_services
from serving.telemetry.recorder import Journal


class _NoSessions(SessionInterface):
    """Sessions for an app that has none: all requests get the same, which can be neither written nor sent."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        return self._none


class _App(Flask):
    """Flask without what no route here needs, and every request would pay for.

    There are no hooks: what happens around a request is in `request_log`. No view is asynchronous, and none has a
    session.
    """

    journal: Journal
    session_interface = _NoSessions()

    def warm_up(self) -> None:
        """Load what will probably be asked for; called by the server before it listens."""
        parts: Services = self.extensions[EXTENSION]
        parts.models.warm_up(parts.settings.warm_up_seconds)

    def preprocess_request(self) -> None:
        """Begin a request."""
        begin(self.journal)

    def make_response(self, rv: Any) -> Any:
        """Return what a view gave, as it is where it is ready."""
        return rv if type(rv) is Encoded else super().make_response(rv)

    def process_response(self, response: Any) -> Any:
        """Finish a request, whatever was answered."""
        finish(self.journal, response)
        return response

    def do_teardown_request(self, *_: Any) -> None:
        """Do nothing: no route registers anything for the end of a request."""

    def do_teardown_appcontext(self, *_: Any) -> None:
        """Do nothing, likewise."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: no view and no hook is asynchronous."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the path; the host that the caller names decides nothing."""
        if request is None:
            return super().create_url_adapter(request)
        environ = request.environ
        return self.url_map.bind(
            "localhost", path_info=request.path, default_method=environ["REQUEST_METHOD"], query_args=""
        )


def create_app(settings: Settings, *, folder: Path | None = None, is_stopping: threading.Event | None = None) -> Flask:
    """Return the app that serves the models below `settings.model_path`. Nothing is opened or loaded yet.

    `folder` is what several processes that serve together share; `is_stopping` is set when they are told to stop.
    """
    app = _App(__name__, static_folder=None)
    # the largest body is refused by us, with our words; this holds whatever gets past that
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # `//health` is no other way to write `/health`: one address per thing
    app.url_map.merge_slashes = False
    parts = build_services(settings, folder, is_stopping)
    app.extensions[EXTENSION], app.journal = parts, parts.journal
    answer_errors(app)
    for routes in (
        scoring_routes,
        model_routes,
        report_routes,
        readiness_routes,
        training_routes,
        health_routes,
        docs_routes,
    ):
        app.register_blueprint(routes)
    return app
