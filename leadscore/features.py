"""The feature contract: declares every feature once, and is the only code that checks values against it.

The contract drives the SQL of the features (its columns), training, request validation, the API's description and the
docs. Each version stores the contract that it was trained with, and is served with it. To add a feature, add an entry
with an example and words to `CONTRACT` and a column to `features_at.sql`, and train again.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore.errors import Fault, InvalidFeatures

FeatureKind = Literal["number", "count", "flag"]
_EXPECTED: dict[str, str] = {"number": "a number", "count": "a whole number", "flag": "0 or 1"}
# looking for the nearest name takes long enough to matter when a request invents thousands of names
NEAREST_NAMES_GIVEN = 5
_UNKNOWN = "no such feature"
_AGE = "days_since_creation"


class Words(msgspec.Struct, frozen=True):
    """How people read a feature: its label, and its values in words, where {} stands for a value with its unit.

    `zero` is said in place of 0, where that reads better, and `unknown` where the value is not known.
    """

    label: str
    known: str
    zero: str = ""
    unknown: str = ""


class Feature(msgspec.Struct, frozen=True):
    """One feature: its name, unit, kind, allowed range (both ends included), and whether it may be unknown.

    `example` is a value for the API's description, and `words` are for people. Stored contracts have neither.
    """

    name: str
    unit: str
    kind: FeatureKind
    minimum: float
    maximum: float
    meaning: str
    nullable: bool = False
    example: float | int | msgspec.UnsetType = msgspec.UNSET
    words: Words | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        # a range declared in whole numbers reads back as floats: both must have one fingerprint
        msgspec.structs.force_setattr(self, "minimum", float(self.minimum))
        msgspec.structs.force_setattr(self, "maximum", float(self.maximum))

    @property
    def value_type(self) -> Any:
        """A type for msgspec that accepts only valid values, which can be used unchanged."""
        whole = Annotated[int, msgspec.Meta(ge=math.ceil(self.minimum), le=math.floor(self.maximum))]
        # many programs write every number with a point, so a whole number may come as 3.0
        step = None if self.kind == "number" else 1
        number = Annotated[float, msgspec.Meta(ge=self.minimum, le=self.maximum, multiple_of=step)]
        return whole | number | None if self.nullable else whole | number

    @property
    def rule(self) -> str:
        """The sentence that says which values are allowed."""
        if self.kind == "flag":
            return "expected 0 or 1"
        unknown = ", or null" if self.nullable else ""
        return f"expected {_EXPECTED[self.kind]} from {self.minimum:.15g} to {self.maximum:.15g}{unknown}"

    def fault_in(self, value: Any) -> tuple[str, str] | None:
        """Return the code and the sentence of what is wrong with one value, or None."""
        if value is None:
            return None if self.nullable else ("null", f"must not be null; {self.rule}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return "wrong_type", self.rule
        # a whole number is always finite, and may be too large to become a float
        if isinstance(value, float) and not math.isfinite(value):
            return "not_finite", self.rule
        if self._is_outside(value):
            return "out_of_range", self.rule
        if self._is_broken(value, math.floor):
            return "wrong_type", self.rule
        return None

    def faults_in(self, column: Floats) -> dict[str, Flags]:
        """Return, per fault in words, which values of a column, NaN for unknown, have it; a value has one at most."""
        is_unknown, is_infinite = np.isnan(column), np.isinf(column)
        is_finite, is_outside = ~(is_unknown | is_infinite), self._is_outside(column)
        return {
            "not finite": is_infinite,
            f"below {self.minimum:.15g}": is_finite & self._is_below(column),
            f"above {self.maximum:.15g}": is_finite & self._is_above(column),
            "unknown": is_unknown & (not self.nullable),
            "not a whole number": is_finite & ~is_outside & self._is_broken(column, np.floor),
        }

    # what a number must be, of one number and of a column alike; `value_type` says the same to msgspec

    def _is_below(self, numbers: Any) -> Any:
        return numbers < self.minimum

    def _is_above(self, numbers: Any) -> Any:
        return numbers > self.maximum

    def _is_outside(self, numbers: Any) -> Any:
        return self._is_below(numbers) | self._is_above(numbers)

    def _is_broken(self, numbers: Any, floor: Callable[[Any], Any]) -> Any:
        return self.kind != "number" and floor(numbers) != numbers


@lru_cache(maxsize=64)
def _lead_type(contract: Contract) -> type[msgspec.Struct]:
    """Return the lead type of a contract as it is stored: making one takes longer than scoring does."""
    fields = [
        (feature.name, feature.value_type, None) if feature.nullable else (feature.name, feature.value_type)
        for feature in contract.features
    ]
    # without the garbage collector's book-keeping, since there may be thousands and none holds another
    return msgspec.defstruct("Lead", fields, kw_only=True, frozen=True, forbid_unknown_fields=True, gc=False)


class Contract(msgspec.Struct, frozen=True, dict=True):
    """The features of a version, in the order of its vectors' columns."""

    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def age_place(self) -> int | None:
        """The place of the lead's age in days, None when it is not among the features."""
        return self.names.index(_AGE) if _AGE in self.names else None

    @cached_property
    def lead_type(self) -> type[msgspec.Struct]:
        """A struct of a lead's values, in order, for msgspec: values that it accepts are valid.

        It may reject valid values: only `vector` decides whether there is a fault, and names it.
        """
        return _lead_type(self.to_store)

    @property
    def example(self) -> dict[str, float | int]:
        """A lead that the contract takes: each feature's example, by name."""
        return {feature.name: feature.example for feature in self.features if feature.example is not msgspec.UNSET}

    @cached_property
    def to_store(self) -> Contract:
        """The contract without its examples and words, which do not affect how values are checked."""
        return Contract(
            tuple(
                msgspec.structs.replace(feature, example=msgspec.UNSET, words=msgspec.UNSET)
                for feature in self.features
            )
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of the contract as it is stored."""
        return hashlib.sha256(msgspec.json.encode(self.to_store, order="deterministic")).hexdigest()

    def vector(
        self, values: Mapping[str, Any], pointer: str = "", *, hints: int = NEAREST_NAMES_GIVEN, most: int | None = None
    ) -> Floats:
        """Return the feature vector, shape (features,), of one request; NaN stands for unknown.

        A name that only the current contract knows is accepted and not used, so that callers may send a new
        feature before every org has been trained with it. Raises InvalidFeatures naming every fault, or the first ones
        when there are more than `most`; of so many unknown names as there are `hints`, the nearest known one is said.
        """
        faults = tuple(islice(chain(self._unknown(values, pointer, hints), self._invalid(values, pointer)), most))
        if faults:
            raise InvalidFeatures(faults)
        in_order = (values.get(feature.name) for feature in self.features)
        return np.array([math.nan if value is None else value for value in in_order], dtype=np.float64)

    def _unknown(self, values: Mapping[str, Any], pointer: str, hints: int) -> Iterator[Fault]:
        known = frozenset(self.names) | frozenset(CONTRACT.names)
        unknown = (name for name in values if name not in known)
        for place, name in enumerate(unknown):
            detail = _nearest(name[:64], known) if place < hints else _UNKNOWN
            yield Fault(f"{pointer}/{_escape(name)}", "unknown", detail)

    def _invalid(self, values: Mapping[str, Any], pointer: str) -> Iterator[Fault]:
        for feature in self.features:
            where = f"{pointer}/{feature.name}"
            if feature.name not in values and not feature.nullable:
                yield Fault(where, "missing", f"required; {feature.rule}")
            elif fault := feature.fault_in(values.get(feature.name)):
                yield Fault(where, *fault)

    def bad_rows(self, columns: Mapping[str, Floats]) -> dict[str, Flags]:
        """Return, per reason such as `property_price below 0`, which rows, shape (rows,), break the contract.

        `columns` holds one float64 array per feature, NaN for unknown. Reasons without rows are left out.
        """
        reasons = {}
        for feature in self.features:
            for fault, is_bad in feature.faults_in(columns[feature.name]).items():
                if is_bad.any():
                    reasons[f"{feature.name} {fault}"] = is_bad
        return reasons


def _escape(name: str) -> str:
    """Return `name` as a JSON pointer's token, cut to a length that is safe to repeat in an answer."""
    return name[:64].replace("~", "~0").replace("/", "~1")


@lru_cache(maxsize=1_024)
def _nearest(name: str, known: frozenset[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(known), n=1)
    return f"{_UNKNOWN}; did you mean {nearest[0]}?" if nearest else _UNKNOWN


def declare(features: tuple[Feature, ...]) -> Contract:
    """Return the contract of `features`. Raises ValueError for one without words, or without a valid example."""
    for feature in features:
        if feature.words is msgspec.UNSET:
            raise ValueError(f"the feature {feature.name} has no words; add some, such as Words('Age', '{{}} old')")
        if feature.example is msgspec.UNSET:
            raise ValueError(f"the feature {feature.name} has no example; add one: {feature.rule}")
        if feature.fault_in(feature.example):
            raise ValueError(
                f"the example of the feature {feature.name} breaks the feature's rule; correct it: {feature.rule}"
            )
    return Contract(features)


CONTRACT = declare(
    features=(
        Feature(
            "lead_source_score",
            "points",
            "number",
            0,
            100,
            "the CRM's score of the lead's source; 10 when it has none",
            example=30,
            words=Words("Source", "lead source scored {} of 100"),
        ),
        Feature(
            "response_time_minutes",
            "minutes",
            "number",
            0,
            52_560_000,
            "from the lead's creation to the first outbound message; null when it has not been answered yet",
            nullable=True,
            example=45,
            words=Words("Response time", "answered after {}", unknown="not answered yet"),
        ),
        Feature(
            "inbound_messages_count",
            "messages",
            "count",
            0,
            1_000_000,
            "messages from the lead so far",
            example=4,
            words=Words("Messages from the lead", "{} from the lead", zero="no message from the lead"),
        ),
        Feature(
            "outbound_messages_count",
            "messages",
            "count",
            0,
            1_000_000,
            "messages to the lead so far",
            example=5,
            words=Words("Messages to the lead", "{} to the lead", zero="no message to the lead"),
        ),
        Feature(
            "appointments_count",
            "appointments",
            "count",
            0,
            1_000_000,
            "appointments booked so far and not cancelled",
            example=1,
            words=Words("Appointments", "{} booked", zero="no appointment booked"),
        ),
        Feature(
            "has_property",
            "yes or no",
            "flag",
            0,
            1,
            "1 when the lead asks about a listing",
            example=1,
            words=Words("Listing", "asks about a listing", zero="asks about no listing"),
        ),
        Feature(
            "property_price",
            "currency",
            "number",
            0,
            1e12,
            "the listing's price; 0 when there is none",
            example=250_000,
            words=Words("Price of the listing", "listing costs {}", zero="no price known"),
        ),
        Feature(
            "property_has_photos",
            "yes or no",
            "flag",
            0,
            1,
            "1 when the listing has photos",
            example=1,
            words=Words("Photos of the listing", "listing has photos", zero="no photos of a listing"),
        ),
        Feature(
            "engagement_rate",
            "ratio",
            "number",
            0,
            1_000_000,
            "inbound messages ÷ outbound; 0 when none went out",
            example=0.8,
            words=Words("Engagement", "{} messages from the lead per message to it", zero="no exchange of messages"),
        ),
        Feature(
            "days_since_creation",
            "days",
            "number",
            0,
            36_500,
            "the lead's age",
            example=7,
            words=Words("Age", "{} old", zero="less than a day old"),
        ),
        Feature(
            "market_activity_score",
            "points",
            "number",
            0,
            100,
            "the org's new leads in the 30 whole days before, against its usual 30 days; 50 is usual",
            example=50,
            words=Words(
                "Market activity", "market activity {}, where 50 is usual", zero="market activity 0, where 50 is usual"
            ),
        ),
    )
)


def label_of(name: str) -> str:
    """Return how people read a feature; one that only another release knows is its name in words."""
    labels = {feature.name: feature.words.label for feature in CONTRACT.features if feature.words}
    return labels.get(name, name.replace("_", " "))
