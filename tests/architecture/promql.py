"""What a query in PromQL asks for, and whether a server's series can answer it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import promql_parser

Series = Mapping[str, Sequence[Mapping[str, str]]]

# what Grafana puts in place of its variables, for example
VARIABLES = {"$__rate_interval": "5m", "$__range": "1d"}


class Selector(NamedTuple):
    """A metric, and its matchers as (label, operator, value)."""

    metric: str
    matchers: list[tuple[str, Any, str]]


class Query(NamedTuple):
    """What a query selects, and the labels by which it groups."""

    selectors: list[Selector]
    grouped_by: set[str]


def parsed(text: str) -> Query:
    """Return what the query asks for. Raises ValueError when it is no PromQL."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    query = Query([], set())

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = [(one.name, one.op, one.value) for one in node.matchers.matchers]
            query.selectors.append(Selector(node.name or "", matchers))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            query.grouped_by.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(text), visit)
    return query


def problems(text: str, series: Series) -> list[str]:
    """Return what of the query no series can answer: a metric, a label or a label's value that is not there."""
    query = parsed(text)
    found = [problem for selector in query.selectors for problem in _problems(selector, series)]
    known = {label for selector in query.selectors for labels in series.get(selector.metric, []) for label in labels}
    found += [f"it groups by {label}, which none of its metrics has" for label in sorted(query.grouped_by - known)]
    return found or ([] if query.selectors else ["it asks for no metric"])


def _problems(selector: Selector, series: Series) -> Iterator[str]:
    metric, matchers = selector
    if metric not in series:
        yield f"there is no metric {metric}"
    elif not any(all(_matches(labels, *matcher) for matcher in matchers) for labels in series[metric]):
        yield f"no series of {metric} has {' and '.join(f'{label} {op} {value!r}' for label, op, value in matchers)}"


def _matches(labels: Mapping[str, str], label: str, operator: Any, value: str) -> bool:
    """Return whether a series has the label and it matches; a label that it lacks never does, since it is a mistake."""
    if label not in labels:
        return False
    is_pattern = operator in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
    is_equal = bool(re.fullmatch(value, labels[label])) if is_pattern else value == labels[label]
    return is_equal == (operator in (promql_parser.MatchOp.Equal, promql_parser.MatchOp.Re))
