"""The leads of a request: JSON in, values in the order of the version's contract out, and every fault by name.

What is right, as nearly all is, is checked while it is parsed, by a type made of the contract. Whatever that type does
not take is judged by the contract itself, which alone decides and finds words. Before the version is known, a request
is read by the current contract, which is that of most versions; for another's, what was read is read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from leadscore.errors import Fault, InvalidFeatures
from leadscore.features import CONTRACT, Contract
from serving.api.problems import invalid
from serving.api.request_parsing import MAX_UNKNOWN_NAMES, parse_object, text_of
from serving.api.schema import Items, LeadId, OrgId, Request

# beyond every feature's range, and the last for which no caller's integer is too long for a float
BIGGEST_INTEGER = 2**63

Values = tuple[float | int | None, ...]


class Faulty(NamedTuple):
    """A lead of a batch that cannot be scored: its place, its id, and all of its faults."""

    place: int
    lead_id: int | str | None
    faults: tuple[Fault, ...]


class Leads(NamedTuple):
    """A batch in its order: ids and leads of those that can be scored, and those that cannot.

    `read` gives the values of one of the `leads`, as given. They are many, so each is read when it is its turn.
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

    def rows(self, features: int) -> npt.NDArray[np.float64]:
        """Return the values as they are scored, shape (leads, features), NaN for what is unknown."""
        # numpy takes None for NaN
        numbers = np.fromiter(chain.from_iterable(self.values()), np.float64, len(self.leads) * features)
        return numbers.reshape(-1, features)


def row_of(values: Values) -> list[float]:
    """Return the values as they are scored, NaN for what is unknown."""
    return [math.nan if value is None else value for value in values]


def values_of(contract: Contract, features: msgspec.Raw | msgspec.Struct, again: Callable[[], msgspec.Raw]) -> Values:
    """Return a lead's values, in the contract's order.

    `features` is a JSON object, or what the current contract made of the one that `again` returns.

    Raises InvalidFeatures with every fault, Refusal 400 for what is no JSON after all, such as a number too long.
    """
    if isinstance(features, contract.lead_type):
        return astuple(features)
    raw = features if isinstance(features, msgspec.Raw) else again()
    try:
        return astuple(msgspec.json.decode(raw, type=contract.lead_type))
    except msgspec.ValidationError:
        return _judged(contract, parse_object(bytes(raw)), "/features")


def leads_of(contract: Contract, batch: msgspec.Raw | list[Any], again: Callable[[], msgspec.Raw]) -> Leads:
    """Return the leads of a batch: a JSON array of objects, each {features, lead_id?} or the features themselves.

    `batch` is that array, or the list that the current contract made of the one that `again` returns.
    """
    nested, flat = _item_types(contract)
    if isinstance(batch, list) and isinstance(batch[0], nested):
        return _nested(batch)
    raw = batch if isinstance(batch, msgspec.Raw) else again()
    with suppress(msgspec.ValidationError):
        return _nested(_items(raw, nested))
    with suppress(msgspec.ValidationError):
        items = _items(raw, flat)
        return Leads([item.lead_id for item in items], items, [], _values_of_flat)
    return _judged_items(contract, raw)


def _nested(items: list[Any]) -> Leads:
    return Leads([item.lead_id for item in items], [item.features for item in items], [], astuple)


def _values_of_flat(item: Any) -> Values:
    return astuple(item)[:-1]


def _judged_items(contract: Contract, batch: msgspec.Raw) -> Leads:
    try:
        given = msgspec.json.decode(batch, type=Items)
    except msgspec.ValidationError as error:
        raise invalid((Fault("/batch", "wrong_type", text_of(error)),), 422, "invalid_request") from error
    leads = Leads([], [], [], tuple)
    for index, item in enumerate(given):
        lead_id, values, faults = _judged_item(contract, index, item)
        if values is None or faults:
            leads.faulty.append(Faulty(index, lead_id, faults))
        else:
            leads.lead_ids.append(lead_id)
            leads.leads.append(values)
    return leads


def _items(batch: msgspec.Raw, kind: type[Any]) -> Any:
    return msgspec.json.decode(batch, type=_list_of(kind))


def _list_of(kind: type[Any]) -> Any:
    return Annotated[list[kind], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]  # it is made at run time


@lru_cache(maxsize=16)
def _item_types(contract: Contract) -> tuple[type[Any], type[Any]]:
    """Return the types of a batch's items: with the features apart, and with the lead's id as the last of them."""
    options: dict[str, Any] = {"kw_only": True, "frozen": True, "forbid_unknown_fields": True, "gc": False}
    lead_id = ("lead_id", LeadId | None, None)
    nested = msgspec.defstruct("Nested", [("features", contract.lead_type), lead_id], **options)
    return nested, msgspec.defstruct("Flat", [lead_id], bases=(contract.lead_type,), **options)


def _judged_item(
    contract: Contract, index: int, given: Mapping[str, Any]
) -> tuple[int | str | None, Values | None, tuple[Fault, ...]]:
    """Return a lead's id, values and faults; the item is nested when it has `features`, else flat."""
    pointer = f"/batch/{index}"
    is_nested = "features" in given
    lead_id, faults = _lead_id(given.get("lead_id"), pointer)
    features = given["features"] if is_nested else {name: given[name] for name in given if name != "lead_id"}
    if is_nested and not given.keys() <= {"features", "lead_id"}:
        faults.append(Fault(pointer, "unknown", "next to features there may be lead_id and nothing else"))
    if not isinstance(features, dict):
        return lead_id, None, (*faults, Fault(f"{pointer}/features", "wrong_type", "an object"))
    try:
        values = _judged(contract, features, f"{pointer}/features" if is_nested else pointer)
    except InvalidFeatures as error:
        return lead_id, None, (*faults, *error.faults)
    return lead_id, values, tuple(faults)


def _lead_id(given: Any, pointer: str) -> tuple[int | str | None, list[Fault]]:
    try:
        return (None if given is None else msgspec.convert(given, LeadId)), []
    except msgspec.ValidationError:
        rule = "a string of at most 128 characters or an integer of 64 bits"
        return None, [Fault(f"{pointer}/lead_id", "wrong_type", rule)]


def _judged(contract: Contract, features: Mapping[str, Any], pointer: str) -> Values:
    most = len({*contract.names, *CONTRACT.names}) + MAX_UNKNOWN_NAMES
    if len(features) > most:
        raise InvalidFeatures((Fault(pointer, "too_many", f"at most {most} features"),))
    # an integer may be too long for a float; as infinity it is as far out of range
    finite = {
        name: math.inf if isinstance(value, int) and abs(value) > BIGGEST_INTEGER else value
        for name, value in features.items()
    }
    contract.vector(finite, pointer)
    return tuple(features.get(name) for name in contract.names)


def _read_by_current(name: str, kind: Any) -> type[Any]:
    """Return the type of a request whose field `name` is read as `kind`."""
    org_id: Any = ("org_id", OrgId, "default")
    return msgspec.defstruct("Read", [(name, kind), org_id], bases=(Request,), kw_only=True, frozen=True)


# PredictRequest and BatchRequest as the current contract reads them
CURRENT_PREDICT = _read_by_current("features", CONTRACT.lead_type)
CURRENT_BATCH = _read_by_current("batch", _list_of(_item_types(CONTRACT)[0]))
