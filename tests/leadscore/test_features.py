"""The feature contract: what it accepts, how it names every fault, and that a change of it is noticed."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadscore.errors import InvalidFeatures
from leadscore.features import CONTRACT, Contract, Feature, Words, declare, label_of

LEAD: dict[str, Any] = {
    "lead_source_score": 40.5,
    "response_time_minutes": 12,
    "inbound_messages_count": 3,
    "outbound_messages_count": 2,
    "appointments_count": 0,
    "has_property": 1,
    "property_price": 250_000,
    "property_has_photos": 0,
    "engagement_rate": 1.5,
    "days_since_creation": 7,
    "market_activity_score": 50,
}


def _faults(changed: dict[str, Any], *, left_out: tuple[str, ...] = (), pointer: str = "") -> list[tuple[str, str]]:
    values = {name: value for name, value in (LEAD | changed).items() if name not in left_out}
    with pytest.raises(InvalidFeatures) as caught:
        CONTRACT.vector(values, pointer)
    return [(fault.pointer, fault.code) for fault in caught.value.faults]


def test_the_contract_has_the_eleven_features_in_their_order() -> None:
    assert CONTRACT.names == tuple(LEAD)


def test_a_vector_is_in_the_contracts_order_whatever_the_requests() -> None:
    shuffled = dict(reversed(LEAD.items()))
    assert CONTRACT.vector(shuffled).tolist() == list(LEAD.values())
    assert CONTRACT.vector(shuffled).dtype == np.float64


@pytest.mark.parametrize("values", [LEAD | {"response_time_minutes": None}, {**LEAD}], ids=["null", "left_out"])
def test_what_may_be_unknown_may_be_null_or_left_out(values: dict[str, Any]) -> None:
    if values["response_time_minutes"] is not None:
        del values["response_time_minutes"]
    assert math.isnan(CONTRACT.vector(values)[1])


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 5e-324, 100, 100.0, 99.999])
def test_every_number_in_the_range_is_accepted_its_ends_included(value: float) -> None:
    assert CONTRACT.vector(LEAD | {"lead_source_score": value})[0] == value


HUGE = 10**5_000


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("lead_source_score", None, "null"),
        ("lead_source_score", "40", "wrong_type"),
        ("lead_source_score", True, "wrong_type"),
        ("has_property", False, "wrong_type"),
        ("lead_source_score", [40], "wrong_type"),
        ("lead_source_score", {}, "wrong_type"),
        ("lead_source_score", math.nan, "not_finite"),
        ("lead_source_score", math.inf, "not_finite"),
        ("response_time_minutes", -math.inf, "not_finite"),
        ("lead_source_score", 100.00000001, "out_of_range"),
        ("lead_source_score", -5e-324, "out_of_range"),
        pytest.param("property_price", HUGE, "out_of_range", id="more_digits_than_a_float_has"),
        pytest.param("property_price", -HUGE, "out_of_range", id="as_many_below_zero"),
        pytest.param("inbound_messages_count", HUGE, "out_of_range", id="a_count_of_as_many_digits"),
        ("inbound_messages_count", 2.5, "wrong_type"),
        ("inbound_messages_count", -1, "out_of_range"),
        ("has_property", 0.5, "wrong_type"),
        ("has_property", 2, "out_of_range"),
    ],
)
def test_every_kind_of_bad_value_has_its_code(name: str, value: object, code: str) -> None:
    assert _faults({name: value}) == [(f"/{name}", code)]


def test_a_missing_feature_is_named_with_its_rule() -> None:
    with pytest.raises(InvalidFeatures, match="/has_property: required; expected 0 or 1"):
        CONTRACT.vector({name: value for name, value in LEAD.items() if name != "has_property"})


def test_every_fault_is_named_at_once_in_the_order_of_request_and_contract() -> None:
    changed = {"zeta": 1, "alpha": 2, "lead_source_score": None, "engagement_rate": "x", "days_since_creation": -1}
    assert _faults(changed, left_out=("appointments_count",), pointer="/batch/3/features") == [
        ("/batch/3/features/zeta", "unknown"),
        ("/batch/3/features/alpha", "unknown"),
        ("/batch/3/features/lead_source_score", "null"),
        ("/batch/3/features/appointments_count", "missing"),
        ("/batch/3/features/engagement_rate", "wrong_type"),
        ("/batch/3/features/days_since_creation", "out_of_range"),
    ]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidFeatures, match="did you mean property_price"):
        CONTRACT.vector(LEAD | {"propertyprice": 1})
    with pytest.raises(InvalidFeatures, match=r"no such feature$"):
        CONTRACT.vector(LEAD | {"__proto__": 1})


def test_a_name_is_escaped_in_its_pointer_and_cut() -> None:
    assert _faults({"a/b~c": 1}) == [("/a~1b~0c", "unknown")]
    assert _faults({"x" * 1_000: 1}) == [("/" + "x" * 64, "unknown")]


def test_a_request_that_invents_thousands_of_names_is_answered_quickly() -> None:
    started_at = time.perf_counter()
    assert len(_faults({f"lead_source_score{number}": 1 for number in range(20_000)})) == 20_000
    assert time.perf_counter() - started_at < 2


def test_a_fault_never_repeats_the_value() -> None:
    with pytest.raises(InvalidFeatures) as caught:
        CONTRACT.vector(LEAD | {"property_price": "a-secret-value", "lead_source_score": 987_654})
    assert "a-secret-value" not in str(caught.value)
    assert "987654" not in str(caught.value)


def test_the_rule_writes_its_range_in_full() -> None:
    rules = {feature.name: feature.rule for feature in CONTRACT.features}
    assert rules["response_time_minutes"] == "expected a number from 0 to 52560000, or null"
    assert rules["inbound_messages_count"] == "expected a whole number from 0 to 1000000"
    assert rules["has_property"] == "expected 0 or 1"


def test_a_name_that_only_the_newest_contract_knows_is_accepted_and_not_used() -> None:
    older = Contract(CONTRACT.features[:3])
    assert older.vector(LEAD).tolist() == list(LEAD.values())[:3]


def test_the_contracts_fingerprint_is_pinned_so_that_no_change_goes_unnoticed() -> None:
    """A new or changed feature changes it: put the new fingerprint here, and say so in the commit."""
    assert CONTRACT.fingerprint == "95c1827e2c12ab78d91a826bdce5d22f7c37226716a3a9bb93424b248db241f8"


def test_a_contract_reads_back_equal_and_with_the_same_fingerprint() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(CONTRACT), type=Contract)
    assert stored == CONTRACT
    assert stored.fingerprint == CONTRACT.fingerprint


@pytest.mark.parametrize("change", [{"maximum": 99.0}, {"unit": "x"}, {"nullable": True}, {"name": "renamed"}])
def test_any_change_of_a_feature_changes_the_fingerprint(change: dict[str, Any]) -> None:
    first = msgspec.structs.replace(CONTRACT.features[0], **change)
    assert Contract((first, *CONTRACT.features[1:])).fingerprint != CONTRACT.fingerprint
    assert Contract(CONTRACT.features[::-1]).fingerprint != CONTRACT.fingerprint


def test_the_example_has_no_part_in_the_fingerprint_or_in_how_requests_are_read() -> None:
    """A version stored before features had examples is the same version, and its requests are parsed by one type."""
    stored = msgspec.json.decode(msgspec.json.encode(CONTRACT))
    for feature in stored["features"]:
        del feature["example"], feature["words"]
    older = msgspec.convert(stored, Contract)
    assert older.fingerprint == CONTRACT.fingerprint
    assert older.lead_type is CONTRACT.lead_type
    assert older.example == {}


def test_the_example_is_a_lead_that_the_contract_takes() -> None:
    assert tuple(CONTRACT.example) == CONTRACT.names
    CONTRACT.vector(CONTRACT.example)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "visits_count has no example; add one: expected a whole number from 0 to 9"),
        ({"example": 3, "words": msgspec.UNSET}, "visits_count has no words; add some"),
        ({"example": 10}, "visits_count breaks the feature's rule; correct it: expected a whole number from 0 to 9"),
    ],
)
def test_a_feature_is_declared_with_words_and_a_valid_example(declared: dict[str, Any], message: str) -> None:
    words = {"words": Words("Visits", "{} of the site")}
    with pytest.raises(ValueError, match=message):
        declare(features=(Feature("visits_count", "visits", "count", 0, 9, "visits so far", **(words | declared)),))


NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, 100.0, 1e6, 1e12, 5e-324, -5e-324, np.nextafter(100.0, 101)]),
    st.integers(-5, 1_000_001).map(float),
)


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_columns_are_judged_as_their_values_are_one_by_one(values: list[float]) -> None:
    columns = {feature.name: np.array(values) for feature in CONTRACT.features}
    bad_rows = CONTRACT.bad_rows(columns)
    for feature in CONTRACT.features:
        for row, value in enumerate(values):
            reasons = [
                reason for reason, is_bad in bad_rows.items() if is_bad[row] and reason.split()[0] == feature.name
            ]
            assert reasons == _expected_reasons(feature, value)


def _expected_reasons(feature: Feature, value: float) -> list[str]:
    fault = feature.fault_in(None if math.isnan(value) else value)
    side = f"below {feature.minimum:.15g}" if value < feature.minimum else f"above {feature.maximum:.15g}"
    words = {"not_finite": "not finite", "out_of_range": side, "null": "unknown", "wrong_type": "not a whole number"}
    return [] if fault is None else [f"{feature.name} {words[fault[0]]}"]


def test_the_faults_of_rows_are_told_in_words() -> None:
    columns = {name: np.full(6, float(value)) for name, value in LEAD.items()}
    columns["property_price"][:3] = [-1, -0.01, 2e12]
    columns["lead_source_score"][1:4] = [100.5, math.inf, math.nan]
    columns["inbound_messages_count"][4] = 1.5
    columns["response_time_minutes"][5] = math.nan
    bad_rows = {reason: np.flatnonzero(is_bad).tolist() for reason, is_bad in CONTRACT.bad_rows(columns).items()}
    assert bad_rows == {
        "property_price below 0": [0, 1],
        "property_price above 1000000000000": [2],
        "lead_source_score above 100": [1],
        "lead_source_score not finite": [2],
        "lead_source_score unknown": [3],
        "inbound_messages_count not a whole number": [4],
    }


def test_columns_without_a_fault_give_no_reasons() -> None:
    assert CONTRACT.bad_rows({name: np.array([float(value)] * 2) for name, value in LEAD.items()}) == {}


FEATURES = [
    *CONTRACT.features,
    Feature("signed", "points", "number", -2.5, 2.5, "a range below zero, whose ends are no whole numbers"),
    Feature("signed_count", "points", "count", -2.5, 2.5, "whole numbers of the same range"),
    Feature("unknown_count", "points", "count", 0, 10, "whole, and may be unknown", nullable=True),
]
VALUES = [None, True, False, "1", [], math.nan, math.inf, -math.inf, HUGE, -HUGE, 2**63, -(2**63)]
VALUES += [0, 1, 2, -2, 3, -3, 0.0, -0.0, 1.0, 0.5, -2.5, 2.5, 2.0, 3.0, 5e-324, -5e-324, 99.999, 1e300]


def _at_the_ends(feature: Feature) -> list[float]:
    ends = [feature.minimum, feature.maximum]
    return [*ends, *(float(np.nextafter(end, way)) for end in ends for way in (-math.inf, math.inf))]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_the_type_the_scalar_check_and_the_column_check_judge_every_value_alike(feature: Feature) -> None:
    """What the type takes is not looked at again, so it takes nothing that has a fault."""
    contract = Contract((feature,))
    for value in [*VALUES, *_at_the_ends(feature)]:
        is_right = feature.fault_in(value) is None
        assert _is_taken(value, contract.lead_type, feature.name) == is_right, value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e308:
            assert (contract.bad_rows({feature.name: np.array([float(value)])}) == {}) == is_right, value


def _is_taken(value: object, lead_type: type[msgspec.Struct], name: str) -> bool:
    try:
        return getattr(msgspec.convert({name: value}, lead_type), name) == value
    except msgspec.ValidationError:
        return False


def test_a_feature_has_a_label_for_people_also_one_of_another_release() -> None:
    assert [label_of(name) for name in ("response_time_minutes", "visits_count")] == ["Response time", "visits count"]


def test_the_place_of_the_age_is_known_where_the_age_is_a_feature() -> None:
    assert CONTRACT.names[CONTRACT.age_place or 0] == "days_since_creation"
    assert Contract(CONTRACT.features[:3]).age_place is None
