"""create_app: the one place where the Flask app is put together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Request, request_tearing_down
from flask.sessions import NullSession, SessionInterface
from flask.signals import appcontext_tearing_down
from werkzeug.routing import MapAdapter

from leadscore.settings import Settings
from serving.api.docs import routes as docs_routes
from serving.api.health import routes as health_routes
from serving.api.problems import answer_errors
from serving.api.readiness import routes as readiness_routes
from serving.api.reports import routes as report_routes
from serving.api.request_hooks import RequestHooks
from serving.api.scoring import routes as scoring_routes
from serving.api.trainings import routes as training_routes
from serving.api.versions import routes as version_routes
from serving.services import EXTENSION, Services, build_services
from serving.telemetry.recorder import Recorder

ROUTES = (
    scoring_routes,
    version_routes,
    report_routes,
    readiness_routes,
    training_routes,
    health_routes,
    docs_routes,
)


class _NoSessions(SessionInterface):
    """Sessions for an app that has none: all requests get the same, which can be neither written nor sent.

    A null session for each request takes 3 % of the time of a prediction.
    """

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        return self._none


class _App(Flask):
    """Flask without what no route here needs, and every request would pay for.

    Each override says what it is worth, as a share of the app's part of a prediction (124 µs). Flask's hooks work as
    they do in any app.
    """

    recorder: Recorder
    session_interface = _NoSessions()

    def warm_up(self) -> None:
        """Load the versions that will probably be asked for; called by the server before it listens."""
        services: Services = self.extensions[EXTENSION]
        services.models.warm_up(services.settings.warm_up_seconds)

    def do_teardown_request(self, *arguments: Any) -> None:
        """Run the hooks, when there are any. Finding out that there are none takes 5 %."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(*arguments)

    def do_teardown_appcontext(self, *arguments: Any) -> None:
        """Run the hooks, when there are any. Finding out that there are none takes 5 %."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(*arguments)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`, wrapped when it is asynchronous. Finding that out for each request takes 9 %."""
        return self._ensure_sync(func)

    @lru_cache(maxsize=256)  # noqa: B019 (an app lives as long as its process)
    def _ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return super().ensure_sync(func)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the path; the host that the caller names decides nothing. Reading it takes 22 %."""
        if request is None:
            return super().create_url_adapter(request)
        method = request.environ["REQUEST_METHOD"]
        return self.url_map.bind("localhost", path_info=request.path, default_method=method, query_args="")


def create_app(settings: Settings, *, folder: Path | None = None, is_stopping: threading.Event | None = None) -> Flask:
    """Return the app that serves the models below `settings.model_path`. Nothing is opened or loaded yet.

    `folder` is what several processes that serve together share; `is_stopping` is set when they are told to stop.
    """
    app = _App(__name__, static_folder=None)
    # the largest body is refused by us, with our words; this holds whatever gets past that
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # `//health` is not another way to write `/health`: one address per thing
    app.url_map.merge_slashes = False
    services = build_services(settings, folder, is_stopping)
    app.extensions[EXTENSION], app.recorder = services, services.recorder
    answer_errors(app)
    for routes in ROUTES:
        app.register_blueprint(routes)
    app.wsgi_app = RequestHooks(app.wsgi_app, services.recorder)  # type: ignore[method-assign]  # as Flask documents
    return app
