"""Turns a request's bytes into checked types, or refuses them and names every fault at once.

The version's contract checks the features themselves, not this module. No fault repeats the value that was sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec
import numpy as np
from flask import request

from leadscore.errors import Fault, InvalidId
from leadscore.pooling import POOLED
from leadscore.registry.ids import check_crm_org_id, check_org_id, check_version_id
from leadscore.settings import Settings
from serving.api.problems import Refusal, invalid
from serving.api.schema import Batch, BatchRequest, Features, Items, OrgId, OrgRequest, Request, VersionId
from serving.telemetry.request_context import CONTEXT

Query = TypeVar("Query", bound=Request)
Body = TypeVar("Body", bound=OrgRequest)

Environ = dict[str, Any]
JSON_TYPE = "application/json"
# parsed once the version is known, because its contract says how; until then only the type is checked
_LEFT_AS_THEY_CAME: dict[Any, Any] = {Batch: Items, Features | msgspec.UnsetType: dict[str, Any]}
# names beyond these are counted, not listed: finding the nearest name of each takes time
MAX_UNKNOWN_NAMES = 20
MAX_NAME_LENGTH = 64
# only a batch may be larger: nothing else that is sent here has a use for it
SMALL_BODY_BYTES = 65_536
# a lead has one for each feature, its id and itself. What is in texts counts, too, so there is room for some commas
MAX_VALUES_PER_LEAD = 64
_COMMA, *_OPENING = b",[{"


def _check_org_id(value: object, settings: Settings) -> str:
    """Return `value` when it is an org id; with POOLED_MODEL the pooled model's id counts as one."""
    return (check_org_id if settings.pooled_model else check_crm_org_id)(value)


def _check_version_id(value: object, _: Settings) -> str:
    return check_version_id(value)


# by the type of a field
_ID_RULES: dict[Any, Callable[[object, Settings], str]] = {
    OrgId: _check_org_id,
    OrgId | None: _check_org_id,
    VersionId: _check_version_id,
    VersionId | None: _check_version_id,
}


def read_query(kind: type[Query], environ: Environ, settings: Settings) -> Query:
    """Return the query string as `kind`. Raises Refusal 400."""
    if not environ.get("QUERY_STRING"):
        return _without_query(kind, environ)
    check = _Check("?", environ, settings, is_text=True)
    for name, values in request.args.lists():
        if len(values) > 1 and len(check.faults) < MAX_UNKNOWN_NAMES:
            check.faults.append(Fault(f"?{_shown(name)}", "repeated", "given more than once"))
    return check.taken(kind, request.args.to_dict(), 400, "invalid_query")


def _without_query(kind: type[Query], environ: Environ) -> Query:
    query: Query = _defaults_of(kind)
    if hasattr(query, "org_id"):
        environ[CONTEXT]["org_id"] = query.org_id
    return query


@cache
def _defaults_of(kind: type[Query]) -> Query:
    return kind()


def read_body(kind: type[Body], environ: Environ, settings: Settings) -> Body:
    """Return the JSON body as `kind`. Raises Refusal 400, 411, 413, 415 or 422."""
    body = _read_bytes(environ, _most_bytes(kind, settings))
    if len(body) > SMALL_BODY_BYTES:
        _check_values(body, settings.max_batch_size)
    if not body.isascii() or b"\\" in body:
        # what is hidden in a part that is left as it came must be JSON in UTF-8, too
        parse_object(body)
    try:
        read: Body = _decoder_of(kind).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = _refused(kind, body, environ, settings)
    if read.org_id == POOLED and not settings.pooled_model:
        read = _refused(kind, body, environ, settings)
    environ[CONTEXT]["org_id"] = read.org_id
    return read


def _most_bytes(kind: type[OrgRequest], settings: Settings) -> int:
    return settings.max_body_bytes if kind is BatchRequest else min(SMALL_BODY_BYTES, settings.max_body_bytes)


def _check_values(body: bytes, max_leads: int) -> None:
    """Raise Refusal 413 when a large body holds too many values, or one that is too long, before any is looked at.

    Each value but the outermost stands behind one of three characters, and none is longer than the longest stretch
    without a comma. To look for them takes milliseconds and holds no lock of Python's; to parse takes up to half a
    second and does.
    """
    characters = np.frombuffer(body, np.uint8)
    count = sum(int(np.count_nonzero(characters == before)) for before in (_COMMA, *_OPENING))
    if count > max_leads * MAX_VALUES_PER_LEAD:
        raise _too_large(
            f"a batch may have {max_leads} items of {MAX_VALUES_PER_LEAD} values, and the body holds {count} values;"
            " send fewer at a time"
        )
    commas = np.flatnonzero(characters == _COMMA)
    if np.diff(commas, prepend=-1, append=len(body)).max() > SMALL_BODY_BYTES:
        raise _too_large(f"a value in a batch may have {SMALL_BODY_BYTES} bytes; send shorter ones")


def _too_large(detail: str) -> Refusal:
    return Refusal(413, "too_large", detail)


def _refused(kind: type[Query], body: bytes, environ: Environ, settings: Settings) -> Query:
    """Raise Refusal with every fault of a body that does not fit `kind`, or return it when it has none."""
    return _Check("/", environ, settings, is_text=False).taken(kind, parse_object(body), 422, "invalid_request")


@cache
def _decoder_of(kind: type[Query]) -> msgspec.json.Decoder[Query]:
    return msgspec.json.Decoder(kind)


def _read_bytes(environ: Environ, max_bytes: int) -> bytes:
    is_json = environ.get("CONTENT_TYPE") == JSON_TYPE or request.mimetype == JSON_TYPE
    if not is_json or environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Refusal(
            415, "unsupported_media_type", f"send the header Content-Type: {JSON_TYPE}, and no Content-Encoding"
        )
    # WSGI allows an empty length for one that is not known
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal() or "HTTP_TRANSFER_ENCODING" in environ:
        raise Refusal(411, "length_required", "send the header Content-Length")
    if int(length) > max_bytes:
        raise _too_large(f"the body has {length} bytes, and at most {max_bytes} are allowed; send less at a time")
    body: bytes = environ["wsgi.input"].read(int(length))
    return body


def parse_object(body: bytes | msgspec.Raw) -> dict[str, Any]:
    """Return the JSON object in `body`; of a repeated name, the last counts. Raises Refusal 400."""
    parsed = parse_json(body)
    if not isinstance(parsed, dict):
        raise _not_json("the body must be a JSON object")
    return parsed


def parse_json(body: bytes | msgspec.Raw) -> Any:
    """Return what `body` holds in JSON. Raises Refusal 400."""
    try:
        return msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise _not_json("the body is not UTF-8") from error
    except RecursionError as error:
        raise _not_json("the body is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise _not_json(f"the body is not JSON: {error}") from error


def _not_json(detail: str) -> Refusal:
    return Refusal(400, "invalid_json", detail)


class _Check:
    """Gathers the faults of one object, field by field. `is_text` marks a query string, whose numbers are text."""

    def __init__(self, prefix: str, environ: Environ, settings: Settings, *, is_text: bool) -> None:
        self.faults: list[Fault] = []
        self._prefix, self._context, self._settings, self._is_text = prefix, environ[CONTEXT], settings, is_text

    def taken(self, kind: type[Query], given: Mapping[str, Any], status: int, code: str) -> Query:
        """Return `given` as `kind`. Raises Refusal with every fault."""
        types = _types_of(kind)
        self._find_unknown(given, types)
        fields = _fields_of(kind)
        values = {field.name: self._value(field.name, types, given) for field in fields if field.name in given}
        missing = [field.name for field in fields if field.required and field.name not in given]
        self.faults += [Fault(self._prefix + name, "missing", "required") for name in missing]
        if "org_id" in types:
            self._context["org_id"] = values.get("org_id", "default")
        if self.faults:
            raise invalid(tuple(self.faults), status, code)
        return kind(**values)

    def _value(self, name: str, types: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """Return the field's value, or note its fault and return None, which is never used."""
        kind = types[name]
        try:
            if kind in _LEFT_AS_THEY_CAME:
                return msgspec.Raw(msgspec.json.encode(msgspec.convert(given[name], _LEFT_AS_THEY_CAME[kind])))
            if kind in _ID_RULES and given[name] is not None:
                return _ID_RULES[kind](given[name], self._settings)
            return msgspec.convert(given[name], kind, strict=not self._is_text)
        except InvalidId as error:
            self.faults.append(Fault(self._prefix + name, error.code, error.message))
        except msgspec.ValidationError as error:
            code = "invalid_id" if kind in _ID_RULES else "wrong_type"
            self.faults.append(Fault(self._prefix + name, code, text_of(error)))
        return None

    def _find_unknown(self, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        unknown = [name for name in given if name not in known]
        for name in unknown[:MAX_UNKNOWN_NAMES]:
            self.faults.append(Fault(self._prefix + _shown(name), "unknown", _nearest(name, known)))
        if more := len(unknown[MAX_UNKNOWN_NAMES:]):
            self.faults.append(Fault(self._prefix.rstrip("/"), "unknown", f"{more} more unknown names"))


def text_of(error: msgspec.ValidationError) -> str:
    """Return the message without its place, which the fault names as a JSON pointer."""
    return str(error).split(" - at ")[0]


_fields_of = cache(msgspec.structs.fields)


@cache
def _types_of(kind: type[Request]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(name[:MAX_NAME_LENGTH], list(known), n=1)
    return f"no such field; did you mean {nearest[0]}?" if nearest else "no such field"


def _shown(name: str) -> str:
    return name[:MAX_NAME_LENGTH].replace("~", "~0").replace("/", "~1")
