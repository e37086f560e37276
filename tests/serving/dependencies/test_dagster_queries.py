"""The queries are checked against the schema of the Dagster release that is installed."""

from __future__ import annotations

import graphql
from dagster_graphql.schema import create_schema

from serving.dependencies import dagster_queries


def test_every_query_is_one_of_the_installed_dagsters():
    schema = create_schema().graphql_schema
    queries = [text for name, text in vars(dagster_queries).items() if name.isupper() and not name.startswith("_")]
    assert len(queries) == 9
    for query in queries:
        assert graphql.validate(schema, graphql.parse(query)) == []
