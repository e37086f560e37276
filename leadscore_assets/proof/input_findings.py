"""Says what arrives otherwise than it was learned, how much that moves the score, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from leadscore.features import CONTRACT, label_of
from leadscore.input_bins import MEASURES, PLACE, InputBins, Measure
from leadscore.live_inputs import InputFinding, InputKind
from leadscore_assets.proof.input_shifts import Arrived, Shift, left_since, points_of, shift_of

# below it, what a shift moves the mean score by is not worth an alarm
FEWEST_POINTS = 0.01
# a mean place beyond which nearly all values lie above those learned, or as far below
FAR_PLACE = 0.9
# the same for all leads of a day, and moves with the season
SEASONAL = "market_activity_score"
FEEDS = {
    "lead_source_score": "the sources' scores",
    "response_time_minutes": "messages",
    "inbound_messages_count": "messages",
    "outbound_messages_count": "messages",
    "engagement_rate": "messages",
    "appointments_count": "appointments",
    "has_property": "listings",
    "property_price": "listings",
    "property_has_photos": "listings",
}
# what is said of a feature when several of its measures shifted
MOST_TELLING: tuple[Measure, ...] = ("unknown", "place", "spread")
RETRAIN = "If this is to stay, train the org again."


class Told(NamedTuple):
    """A finding's kind, what is said of it, and what to do."""

    kind: InputKind
    in_words: str
    action: str


def feature_finding(bins: InputBins, arrived: Arrived, name: str, found_on: Mapping[Measure, date]) -> InputFinding:
    """Return what is said of a feature, whose measures left their bands; `found_on` says which, and when."""
    feature = [each.name for each in bins.features].index(name)
    measure = next(each for each in MOST_TELLING if each in found_on)
    # the days on which it was found may be older than what is kept
    known = arrived.upto(max(found_on[measure], arrived.days[0]))
    since = left_since(bins, known, feature, MEASURES.index(measure))
    later = arrived.since(since)
    shift, points = shift_of(bins, later, feature, MEASURES.index(measure)), points_of(bins, later, feature)
    if measure == "spread" and shift_of(bins, later, feature, PLACE).is_outside:
        # a word for where values are says more than one for how they spread
        measure, shift = "place", shift_of(bins, later, feature, PLACE)
    told = _told(name, measure, shift, since)
    return InputFinding(
        feature=name,
        kind=told.kind,
        is_alarm=told.kind != "season" and (points is None or abs(points) >= FEWEST_POINTS),
        since=since,
        found_on=min(found_on.values()),
        leads=shift.leads,
        served=round(shift.served, 4),
        learned=round(shift.learned, 4),
        points=None if points is None else round(points, 4),
        in_words=f"{label_of(name)}: {told.in_words} {_moved(points)}",
        action=told.action,
    )


def _told(name: str, measure: Measure, shift: Shift, since: date) -> Told:
    if name == SEASONAL:
        return Told("season", _placed(shift, since), "It moves with the season: train the org again to learn this one.")
    if measure == "unknown":
        return _unknown(name, shift, since)
    if measure == "spread":
        return _spread(name, shift, since)
    if not 1 - FAR_PLACE <= shift.served <= FAR_PLACE:
        return _scale(name, shift, since)
    return Told("level", _placed(shift, since), RETRAIN)


def _unknown(name: str, shift: Shift, since: date) -> Told:
    said = f"unknown for {shift.served:.0%} of leads since {day_in_words(since)}, {shift.learned:.0%} when learned."
    return Told("unknown", said, f"Is {_feed(name)} running?" if shift.served > shift.learned else RETRAIN)


def _spread(name: str, shift: Shift, since: date) -> Told:
    how = "wider apart" if shift.served > shift.learned else "closer together"
    said = f"values lie {how} than when learned, since {day_in_words(since)}."
    return Told("spread", said, f"Has {_feed(name)} lost or gained a part? {RETRAIN}")


def _scale(name: str, shift: Shift, since: date) -> Told:
    is_high = shift.served > FAR_PLACE
    said = f"nearly all values since {day_in_words(since)} are {'above' if is_high else 'below'} those learned."
    unit = next((each.unit for each in CONTRACT.features if each.name == name), "")
    has_unit = f"is its unit still {unit}?" if unit and unit != "yes or no" else "is it still filled in alike?"
    return Told("scale", said, has_unit.capitalize() if is_high else f"Is {_feed(name)} running, and {has_unit}")


def _feed(name: str) -> str:
    return f"the feed of {FEEDS[name]}" if name in FEEDS else "its feed"


def _placed(shift: Shift, since: date) -> str:
    how, share = ("higher", shift.served) if shift.served > shift.learned else ("lower", 1 - shift.served)
    return (
        f"{how} than when learned, since {day_in_words(since)}: of a value of now and one of then, that of now is the"
        f" {how} one in {share:.0%} of cases."
    )


def _moved(points: float | None) -> str:
    if points is None:
        return "How much it moves the score is unknown, because no such value was learned from."
    if abs(points) < FEWEST_POINTS:
        return "It moves the mean score by less than a point."
    rounded = round(abs(points) * 100)
    sign = "+" if points > 0 else "−"  # noqa: RUF001 (a minus, as in the reasons)
    return f"It moves the mean score by {sign}{rounded} point{'s' if rounded > 1 else ''}."


def base_rate_finding(served: Shift, since: date, found_on: date) -> InputFinding:
    """Return what is said of the share of leads that convert; it moves no score, but what the score should be."""
    points = served.served - served.learned
    said = (
        f"Conversions: {served.served:.0%} of {served.leads:,} leads that were created since {day_in_words(since)}"
        f" converted, {served.learned:.0%} when learned."
    )
    return InputFinding(
        feature="converted",
        kind="base_rate",
        is_alarm=abs(points) >= FEWEST_POINTS,
        since=since,
        found_on=found_on,
        leads=served.leads,
        served=round(served.served, 4),
        learned=round(served.learned, 4),
        points=round(points, 4),
        in_words=said,
        action="Train the org again.",
    )


def day_in_words(day: date) -> str:
    """Return a day as people write it, such as 3 May 2026."""
    return f"{day.day} {day:%B %Y}"
