"""Checks that a PostgreSQL can hold our tables and Dagster's, before any of them is made.

Each refusal says what is wrong, and gives the operator the command that fixes it.
"""

from __future__ import annotations

from contextlib import closing

import psycopg

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from leadscore_assets.source.database import CONNECT_TIMEOUT_SECONDS, Connection, connect, explaining, first_line

# the oldest release that the PostgreSQL project maintains and that the tests have run on
LOWEST_RELEASE = 15
SCHEMAS = ("leadscore", "dagster")
# the startup options by which dagster.yaml selects Dagster's schema
DAGSTER_OPTIONS = "-c search_path=dagster"
SHOWN_OBJECTS = 3

RIGHTS = """
SELECT quote_ident(current_user), quote_ident(current_database()),
    has_database_privilege(current_database(), 'CREATE'),
    array(SELECT nspname::text FROM pg_namespace WHERE nspname = ANY (%(schemas)s)),
    array(
        SELECT nspname::text FROM pg_namespace
        WHERE nspname = ANY (%(schemas)s) AND NOT pg_has_role(nspowner, 'USAGE') ORDER BY nspname
    )
"""
OBJECTS_OF_OTHERS = """
SELECT format('TABLE %%I.%%I', nspname, relname) AS object, 1 AS place
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY (%(schemas)s) AND relkind IN ('r', 'p') AND NOT pg_has_role(relowner, 'USAGE')
UNION ALL
SELECT 'FUNCTION ' || oid::regprocedure::text, 2
FROM pg_proc WHERE pronamespace = to_regnamespace('leadscore') AND NOT pg_has_role(proowner, 'USAGE')
ORDER BY place, object
"""


def check_database(settings: Settings) -> None:
    """Raise CannotRun, with the remedy, when the database cannot be used. Nothing is changed.

    Also raises DatabaseUnavailable.
    """
    with (
        connect(settings, read_only=True) as connection,
        explaining("checking the database", "Use another role (DB_USER)."),
        connection.transaction(),
    ):
        _check_server(connection, settings)
        _check_rights(connection)
    _check_dagsters_schema(settings)


def _check_server(connection: Connection, settings: Settings) -> None:
    where, release = f"PostgreSQL at {settings.db_host}:{settings.db_port}", connection.info.server_version // 10_000
    if release < LOWEST_RELEASE:
        raise CannotRun(f"{where} is release {release}; Leadscore needs PostgreSQL {LOWEST_RELEASE} or newer.")
    if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        raise CannotRun(
            f"{where} is a read replica, but Leadscore and Dagster write tables in the database. Point DB_HOST and"
            " DB_PORT to the primary server."
        )


def _check_rights(connection: Connection) -> None:
    parameters = {"schemas": list(SCHEMAS)}
    ((role, database, may_create, present, foreign),) = connection.execute(RIGHTS, parameters).fetchall()
    if not may_create and len(_names(present)) < len(SCHEMAS):
        raise CannotRun(
            f"The role {role} may not create the schemas {' and '.join(SCHEMAS)} in {database}. Allow it:"
            f" `GRANT CREATE ON DATABASE {database} TO {role}`."
        )
    if _names(foreign):
        commands = ", ".join(f"`ALTER SCHEMA {schema} OWNER TO {role}`" for schema in _names(foreign))
        raise CannotRun(f"The role {role} does not own {' and '.join(_names(foreign))}. Change the owner: {commands}.")
    objects = [str(name) for name, _ in connection.execute(OBJECTS_OF_OTHERS, parameters)]
    if objects:
        commands = ", ".join(f"`ALTER {name} OWNER TO {role}`" for name in objects[:SHOWN_OBJECTS])
        more = f" and {len(objects) - SHOWN_OBJECTS} more" if len(objects) > SHOWN_OBJECTS else ""
        raise CannotRun(
            f"The role {role} does not own everything in {' and '.join(SCHEMAS)}. Set DB_USER to the role that does, or"
            f" change the owner: {commands}{more}."
        )


def _check_dagsters_schema(settings: Settings) -> None:
    """Raise CannotRun when Dagster, which selects its schema as it connects, would make its tables in another one."""
    try:
        with closing(
            psycopg.connect(
                **settings.database_arguments(), options=DAGSTER_OPTIONS, connect_timeout=CONNECT_TIMEOUT_SECONDS
            )
        ) as connection:
            query = "SELECT quote_ident(current_user), quote_ident(current_database()), current_setting('search_path')"
            ((role, database, search_path),) = connection.execute(query).fetchall()
    except psycopg.OperationalError as error:
        raise CannotRun(
            f"PostgreSQL at {settings.db_host}:{settings.db_port} refuses Dagster's startup options"
            f" ({DAGSTER_OPTIONS}): {first_line(error)}. If this is a connection pooler, point DB_HOST and DB_PORT to"
            " PostgreSQL itself."
        ) from None
    if str(search_path).split(",")[0].strip(' "') == "dagster":
        return
    raise CannotRun(
        f"Dagster's tables would not be made in the schema dagster of {database}, but in the first schema of its search"
        f" path, {search_path}: a connection pooler at {settings.db_host}:{settings.db_port} drops Dagster's startup"
        f" options ({DAGSTER_OPTIONS}). Point DB_HOST and DB_PORT to PostgreSQL itself, or put dagster first on the"
        " role's own search_path:"
        f" `ALTER ROLE {role} IN DATABASE {database} SET search_path = dagster, {search_path}`."
    )


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
