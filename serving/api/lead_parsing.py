"""Parses the leads of a request: JSON in, values in the order of the version's contract out, or every fault by name.

A type made from the version's contract checks the leads while they are parsed, which suffices for nearly all. The
contract itself checks those that the type rejects; it alone decides whether there is a fault, and words it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from itertools import chain
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple

from leadscore.arrays import Floats
from leadscore.errors import Fault, InvalidFeatures
from leadscore.features import CONTRACT, NEAREST_NAMES_GIVEN, Contract
from serving.api.problems import Refusal, invalid
from serving.api.request_parsing import MAX_UNKNOWN_NAMES, parse_json, text_of
from serving.api.schema import LeadId

# beyond every feature's range, and the last for which no caller's integer is too long for a float
BIGGEST_INTEGER = 2**63
# of a batch's leads behind so many faults, only the first fault is named
MAX_FAULTS = 2_000

Values = tuple[float | int | None, ...]
# what decoding raises; the contract or the parser then words the fault
_UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_RawItems = Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]


class Faulty(NamedTuple):
    """A lead of a batch that cannot be scored: its place, its id, and all of its faults."""

    place: int
    lead_id: int | str | None
    faults: tuple[Fault, ...]


class _Detail(NamedTuple):
    """How much is still said of the faults of a request: how many nearest names, and how many faults.

    Leads of one batch come from one program, so what is wrong with the first is wrong with the others. To name all
    takes longer than to score them.
    """

    hints: int
    faults: int

    def after(self, faults: tuple[Fault, ...]) -> _Detail:
        """Return what is left when these were named."""
        if not faults:
            return self
        unknown = sum(fault.code == "unknown" for fault in faults)
        return _Detail(max(0, self.hints - unknown), max(0, self.faults - len(faults)))


IN_FULL = _Detail(NEAREST_NAMES_GIVEN, MAX_FAULTS)


class Leads(NamedTuple):
    """A batch in its order: the ids and leads that can be scored, and the leads that cannot.

    `read` returns the values of one of the `leads`. A batch may be large, so each lead is read only when it is needed.
    """

    lead_ids: list[int | str | None]
    leads: list[Any]
    faulty: list[Faulty]
    read: Callable[[Any], Values]

    @property
    def size(self) -> int:
        """How many leads there are."""
        return len(self.leads) + len(self.faulty)

    def values(self) -> Iterator[Values]:
        """Return the values of each lead that can be scored."""
        return map(self.read, self.leads)

    def rows(self, features: int) -> Floats:
        """Return the values as they are scored, shape (leads, features), NaN for what is unknown."""
        # numpy takes None for NaN
        numbers = np.fromiter(chain.from_iterable(self.values()), np.float64, len(self.leads) * features)
        return numbers.reshape(-1, features)


def row_of(values: Values) -> list[float]:
    """Return the values as they are scored, NaN for what is unknown."""
    return [math.nan if value is None else value for value in values]


# making one takes longer than it takes to read a lead
_decoder_of = cache(msgspec.json.Decoder)


def values_of(contract: Contract, features: msgspec.Raw) -> Values:
    """Return a lead's values, in the contract's order; `features` is a JSON object.

    Raises InvalidFeatures with every fault, or Refusal 400 for invalid JSON, such as a number that is too long.
    """
    try:
        return astuple(_decoder_of(contract.lead_type).decode(features))
    except _UNFIT:
        return _judged(contract, _object_in(features), "/features", IN_FULL)


def values_told(contract: Contract, told: Mapping[str, Any]) -> Values:
    """Return the values, in the contract's order, of features that were read elsewhere than in a request.

    Raises InvalidFeatures with every fault.
    """
    return _judged(contract, told, "/features", IN_FULL)


def check_is_object(features: msgspec.Raw) -> None:
    """Raise Refusal 422 when the features of a lead are not a JSON object. It is asked before a version is loaded."""
    if bytes(memoryview(features)[:1]) != b"{":
        _object_in(features)


def _object_in(features: msgspec.Raw) -> dict[str, Any]:
    try:
        return msgspec.convert(parse_json(features), dict[str, Any])
    except msgspec.ValidationError as error:
        raise invalid((Fault("/features", "wrong_type", text_of(error)),), 422, "invalid_request") from error


def check_count(batch: msgspec.Raw, max_leads: int) -> None:
    """Raise Refusal 413 when there are more than `max_leads`, before any of them is parsed."""
    with suppress(*_UNFIT):
        count = len(msgspec.json.decode(batch, type=list[msgspec.Raw]))
        if count > max_leads:
            raise Refusal(
                413,
                "too_large",
                f"the batch has {count} items, and at most {max_leads} are allowed; send fewer at a time",
            )


def leads_of(contract: Contract, batch: msgspec.Raw) -> Leads:
    """Return the leads of a batch: a JSON array of objects, each {features, lead_id?} or the features themselves.

    Raises Refusal 400 when it is not JSON, 422 when it is not an array of objects.
    """
    nested, flat = _item_types(contract.lead_type)
    with suppress(*_UNFIT):
        items = msgspec.json.decode(batch, type=nested)
        return Leads([item.lead_id for item in items], [item.features for item in items], [], astuple)
    with suppress(*_UNFIT):
        items = msgspec.json.decode(batch, type=flat)
        return Leads([item.lead_id for item in items], items, [], _values_of_flat)
    return _judged_items(contract, batch)


def _values_of_flat(item: Any) -> Values:
    return astuple(item)[:-1]


def _judged_items(contract: Contract, batch: msgspec.Raw) -> Leads:
    leads, detail = Leads([], [], [], tuple), IN_FULL
    for index, item in enumerate(_items_in(batch)):
        lead_id, values, faults = _judged_item(contract, index, item, detail)
        detail = detail.after(faults)
        if values is None or faults:
            leads.faulty.append(Faulty(index, lead_id, faults))
        else:
            leads.lead_ids.append(lead_id)
            leads.leads.append(values)
    return leads


def _items_in(batch: msgspec.Raw) -> Iterator[dict[str, Any]]:
    """Yield the items. Each is parsed by itself, so that Python's other threads get their turns between them."""
    try:
        for item in msgspec.json.decode(batch, type=_RawItems):
            yield msgspec.convert(parse_json(item), dict[str, Any])
    except msgspec.ValidationError as error:
        raise invalid((Fault("/batch", "wrong_type", text_of(error)),), 422, "invalid_request") from error


@lru_cache(maxsize=16)
def _item_types(lead_type: type[msgspec.Struct]) -> tuple[Any, Any]:
    """Return the types of a batch: of items with nested features, and of flat items, which end with the lead's id."""
    options: dict[str, Any] = {"kw_only": True, "frozen": True, "forbid_unknown_fields": True, "gc": False}
    lead_id = ("lead_id", LeadId | None, None)
    nested = msgspec.defstruct("Nested", [("features", lead_type), lead_id], **options)
    flat = msgspec.defstruct("Flat", [lead_id], bases=(lead_type,), **options)
    return _list_of(nested), _list_of(flat)


def _list_of(kind: type[Any]) -> Any:
    return Annotated[list[kind], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]  # it is made at run time


def _judged_item(
    contract: Contract, index: int, given: Mapping[str, Any], detail: _Detail
) -> tuple[int | str | None, Values | None, tuple[Fault, ...]]:
    """Return a lead's id, values and faults; the item is nested when it has `features`, else flat."""
    pointer = f"/batch/{index}"
    is_nested = "features" in given
    lead_id, faults = _lead_id(given.get("lead_id"), pointer)
    features = given["features"] if is_nested else {name: given[name] for name in given if name != "lead_id"}
    if is_nested and not given.keys() <= {"features", "lead_id"}:
        faults.append(Fault(pointer, "unknown", "expected no other field than features and lead_id"))
    if not isinstance(features, dict):
        return lead_id, None, (*faults, Fault(f"{pointer}/features", "wrong_type", "expected an object"))
    try:
        values = _judged(contract, features, f"{pointer}/features" if is_nested else pointer, detail)
    except InvalidFeatures as error:
        return lead_id, None, (*faults, *error.faults)
    return lead_id, values, tuple(faults)


def _lead_id(given: Any, pointer: str) -> tuple[int | str | None, list[Fault]]:
    try:
        return (None if given is None else msgspec.convert(given, LeadId)), []
    except msgspec.ValidationError:
        rule = "expected a string of at most 128 characters or an integer of 64 bits"
        return None, [Fault(f"{pointer}/lead_id", "wrong_type", rule)]


def _judged(contract: Contract, features: Mapping[str, Any], pointer: str, detail: _Detail) -> Values:
    most = len({*contract.names, *CONTRACT.names}) + MAX_UNKNOWN_NAMES
    if len(features) > most:
        raise InvalidFeatures((Fault(pointer, "too_many", f"expected at most {most} features"),))
    # an integer may be too long for a float; as infinity it is as far out of range
    finite = {
        name: math.inf if isinstance(value, int) and abs(value) > BIGGEST_INTEGER else value
        for name, value in features.items()
    }
    contract.vector(finite, pointer, hints=detail.hints, most=max(detail.faults, 1))
    return tuple(features.get(name) for name in contract.names)
