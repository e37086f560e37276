"""create_app: the one place where the Flask app is put together."""

from __future__ import annotations

import threading
from pathlib import Path

from leadscore.settings import Settings
from leadscore.tokens import Tokens
from serving.api.access import ACCESS, Access
from serving.api.docs import routes as docs_routes
from serving.api.grades import routes as grade_routes
from serving.api.health import routes as health_routes
from serving.api.leads import routes as lead_routes
from serving.api.orgs import routes as org_routes
from serving.api.performance import routes as performance_routes
from serving.api.problems import answer_errors
from serving.api.readiness import routes as readiness_routes
from serving.api.reports import routes as report_routes
from serving.api.request_hooks import App
from serving.api.scoring import routes as scoring_routes
from serving.api.trainings import routes as training_routes
from serving.api.versions import routes as version_routes
from serving.pages import all_orgs, one_org
from serving.pages.words import FILTERS
from serving.services import build_services

ROUTES = (
    scoring_routes,
    version_routes,
    report_routes,
    performance_routes,
    readiness_routes,
    training_routes,
    lead_routes,
    grade_routes,
    org_routes,
    health_routes,
    docs_routes,
    all_orgs.routes,
    one_org.routes,
)


def create_app(settings: Settings, *, folder: Path | None = None, is_stopping: threading.Event | None = None) -> App:
    """Return the app that serves the models below `settings.model_path`. Nothing is opened or loaded yet.

    `folder` is what several processes that serve together share; `is_stopping` is set when they are told to stop.
    """
    app = App("serving", build_services(settings, folder, is_stopping))
    # the largest body is refused by us, with our words; this holds whatever gets past that
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # `//health` is not another way to write `/health`: one address per thing
    app.url_map.merge_slashes = False
    app.extensions[ACCESS] = Access(settings, Tokens(settings.tokens_path))
    app.jinja_env.filters.update(FILTERS)
    answer_errors(app)
    for routes in ROUTES:
        app.register_blueprint(routes)
    return app
