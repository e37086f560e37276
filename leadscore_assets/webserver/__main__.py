"""`python -m leadscore_assets.webserver -w FILE -h HOST -p PORT`: Dagster's webserver, with our guard in front.

It starts as Dagster's own command does, and serves its application twice: once as it is, and once read-only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.schema import types
from dagster_graphql.schema.roots.query import GrapheneQuery
from dagster_graphql.schema.roots.subscription import GrapheneSubscription
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from graphene import Schema
from starlette.requests import HTTPConnection

from leadscore.errors import CannotRun, LeadscoreError
from leadscore.secret_file import dagster_token
from leadscore.settings import Settings, read_settings
from leadscore.tokens import Tokens
from leadscore_assets.webserver.guard import Guard, Names
from leadscore_assets.webserver.partition_keys import request_context

POLL_MILLISECONDS = 2_000  # how often a page asks for news, as in Dagster's own command


class Webserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's webserver, which looks for the partitions of a request once."""

    def _make_request_context(self, conn: HTTPConnection) -> WorkspaceRequestContext:
        return request_context(self._process_context, conn, is_read_only=False)


class ReadOnlyWebserver(Webserver):
    """Dagster's webserver without a mutation: its pages show no button for what it would refuse."""

    def build_graphql_schema(self) -> Schema:
        """Return Dagster's schema without its mutations, so that none can be forgotten."""
        return Schema(query=GrapheneQuery, subscription=GrapheneSubscription, types=types())  # type: ignore[no-untyped-call]

    def _make_request_context(self, conn: HTTPConnection) -> WorkspaceRequestContext:
        return request_context(self._process_context, conn, is_read_only=True)


def guarded(context: WorkspaceProcessContext, settings: Settings) -> Guard:
    """Return Dagster's application behind the guard that the settings ask for."""
    full, read_only = (kind(context, "", POLL_MILLISECONDS) for kind in (Webserver, ReadOnlyWebserver))
    names = Names.of(settings.allowed_hosts or (), settings.dagster_url, public_url=settings.dagster_public_url)
    tokens = Tokens(settings.tokens_path)
    asks = partial(asks_for_tokens, settings, tokens)
    return Guard(
        full.create_asgi_app(),
        read_only.create_asgi_app(),
        names=names,
        tokens=tokens,
        asks=asks,
        internal_token=dagster_token(settings),
    )


def serve(settings: Settings, workspace: str) -> None:
    """Serve until SIGTERM or Ctrl-C, over the instance that DAGSTER_HOME names. Raises CannotRun."""
    _check_tokens(settings)
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget(paths=[workspace])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            uvicorn.run(guarded(context, settings), host=settings.host, port=settings.port, log_level="warning")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve what the arguments (the process's own unless given) name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        serve(replace(read_settings(), host=chosen.host, port=chosen.port), chosen.workspace)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def asks_for_tokens(settings: Settings, tokens: Tokens) -> bool:
    """Return whether a token is asked for: beyond loopback always, on loopback once there are any."""
    return settings.auth != "OFF" and (not settings.is_on_loopback or tokens.are_configured)


def _check_tokens(settings: Settings) -> None:
    if settings.auth != "OFF" and not settings.is_on_loopback and not Tokens(settings.tokens_path).listed():
        raise CannotRun(
            f"Dagster's webserver would listen on {settings.host}, which others can reach, and {settings.tokens_path}"
            " has no tokens. Make one with python -m leadscore.tokens new --org '*' --scope operate, or listen on"
            " 127.0.0.1, or set AUTH=off where something in front of it asks who is there."
        )


def _parser() -> argparse.ArgumentParser:
    # -h is the host, as it is for Dagster's commands
    parser = argparse.ArgumentParser(prog="python -m leadscore_assets.webserver", add_help=False, description=__doc__)
    parser.add_argument("--help", action="help", help="show this and exit")
    parser.add_argument("-w", "--workspace", required=True, metavar="FILE", help="where Dagster's code servers are")
    parser.add_argument("-h", "--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("-p", "--port", type=int, default=3000, help="port to listen on (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
