"""What happens in simulated leads' lives up to now: status moves, messages, appointments. One array item is one event.

Nothing here lies after a lead's outcome, or after now, but the hour for which an appointment is planned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadscore.arrays import Flags, Floats, Ints, Texts
from standalone.journeys import STAGES, Leads, Times, later
from standalone.orgs import Org

INTEREST_FADES_DAYS = 12.0
CHANNELS = np.array(["EMAIL", "PHONE", "SMS", "WHATSAPP", "CHAT"])
CHANNEL_SHARES = (0.45, 0.25, 0.12, 0.13, 0.05)
MINUTE_DAYS = 1 / 1_440


@dataclass(frozen=True)
class Moves:
    """Moves of leads from a status to the next, in order of lead and time."""

    lead: Ints
    from_status: Texts
    to_status: Texts
    transitioned_at: Times


@dataclass(frozen=True)
class Messages:
    """Messages to and from leads, in order of time."""

    lead: Ints
    is_inbound: Flags
    channel: Texts
    sent_at: Times


@dataclass(frozen=True)
class Appointments:
    """Appointments with leads, in order of lead and booking. `updated_at` is NaT until one is held or cancelled."""

    lead: Ints
    booked_at: Times
    start_at: Times
    status: Texts
    updated_at: Times


def draw_moves(leads: Leads) -> Moves:
    """Return each lead's status history until now; it starts with DRAFT to NEW."""
    end = np.where(leads.is_won, "WON", "LOST")
    days = np.column_stack([leads.stage_days, leads.closed_days])
    names = np.column_stack([np.broadcast_to(STAGES, leads.stage_days.shape), end])
    lead, place = np.nonzero(days <= leads.observed_days[:, None])
    to_status = names[lead, place]
    is_first = np.concatenate([[True], lead[1:] != lead[:-1]])
    from_status = np.where(is_first, "DRAFT", np.roll(to_status, 1))
    return Moves(lead, from_status, to_status, later(leads.created_at[lead], days[lead, place]))


def draw_messages(rng: np.random.Generator, org: Org, leads: Leads) -> Messages:
    """Return the leads' messages until now: `org.messages_per_lead` of them on average."""
    lead_in, days_in, lead_out, days_out = _first_messages(rng, leads)
    is_answered = np.isin(np.arange(len(leads)), lead_out)
    since = np.where(is_answered, leads.response_days, leads.observed_days)
    weight_in = np.exp(0.8 * leads.engagement) * _interest(leads.observed_days)
    weight_out = np.exp(0.5 * leads.diligence + 0.2 * leads.engagement) * _interest(leads.observed_days - since)
    wanted = org.messages_per_lead * len(leads) - len(lead_in) - len(lead_out)
    scale = max(wanted, 0) / max(weight_in.sum() + weight_out.sum(), 1e-9)
    more_in = np.repeat(np.arange(len(leads)), rng.poisson(scale * weight_in))
    more_out = np.repeat(np.arange(len(leads)), rng.poisson(scale * weight_out))
    lead = np.concatenate([lead_in, lead_out, more_in, more_out])
    days = np.concatenate(
        [
            days_in,
            days_out,
            _moments(rng, np.zeros(len(more_in)), leads.observed_days[more_in]),
            _moments(rng, since[more_out], leads.observed_days[more_out]),
        ]
    )
    is_inbound = np.repeat([True, False, True, False], [len(lead_in), len(lead_out), len(more_in), len(more_out)])
    sent_at = later(leads.created_at[lead], days)
    order = np.argsort(sent_at, kind="stable")
    channel = rng.choice(CHANNELS, len(lead), p=CHANNEL_SHARES)
    return Messages(lead[order], is_inbound[order], channel, sent_at[order])


def draw_appointments(rng: np.random.Generator, leads: Leads) -> Appointments:
    """Return the appointments booked until now: one or more for each lead that reached that stage."""
    booked = leads.stage_days[:, -1]
    reached = np.flatnonzero(booked <= leads.observed_days)
    lead = np.repeat(reached, 1 + rng.poisson(0.35 + 0.25 * (leads.engagement[reached] > 0)))
    is_first = np.concatenate([[True], lead[1:] != lead[:-1]]) if len(lead) else np.zeros(0, dtype=bool)
    booked_days = np.where(is_first, booked[lead], _moments(rng, booked[lead], leads.observed_days[lead]))
    start_days = booked_days + rng.uniform(0.3, 7, len(lead))
    is_cancelled = rng.random(len(lead)) < 0.15
    settled_days = np.where(is_cancelled, booked_days + rng.random(len(lead)) * (start_days - booked_days), start_days)
    is_settled = settled_days <= leads.observed_days[lead]
    status = np.where(is_settled, np.where(is_cancelled, "CANCELLED", "COMPLETED"), "SCHEDULED")
    created_at = leads.created_at[lead]
    return Appointments(
        lead=lead,
        booked_at=later(created_at, booked_days),
        start_at=later(created_at, start_days),
        status=status,
        updated_at=np.where(is_settled, later(created_at, settled_days), np.datetime64("NaT", "s")),
    )


def _first_messages(rng: np.random.Generator, leads: Leads) -> tuple[Ints, Floats, Ints, Floats]:
    # Seven of ten leads come with a message; the others by a form or a visit. Some are never answered.
    lead_in = np.flatnonzero((rng.random(len(leads)) < 0.7) & (leads.observed_days > MINUTE_DAYS))
    lead_out = np.flatnonzero(leads.response_days <= leads.observed_days)
    return lead_in, np.zeros(len(lead_in)), lead_out, leads.response_days[lead_out]


def _interest(days: Floats) -> Floats:
    """Return how much is written in a lead's first days, for each number of days: less and less as it ages."""
    interest: Floats = 1 - np.exp(-days / INTEREST_FADES_DAYS)
    return interest


def _moments(rng: np.random.Generator, start: Floats, end: Floats) -> Floats:
    """Return one time between each start and end, more likely early than late."""
    fading = 1 - np.exp(-(end - start) / INTEREST_FADES_DAYS)
    moments: Floats = start - INTEREST_FADES_DAYS * np.log1p(-rng.random(len(start)) * fading)
    return moments
