"""The types of all requests and answers of the API. Requests are checked against them, and OpenAPI is made from them.

Fields are never renamed, retyped or dropped, because callers rely on them. `request_parsing` turns bytes into these
types.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from leadscore.comparison import Comparison
from leadscore.errors import Fault
from leadscore.evaluation import Metrics
from leadscore.gate import Verdict
from leadscore.live_performance import LiveState
from leadscore.org_warnings import WARNINGS, OrgWarning
from leadscore.pooling import Scope
from leadscore.readiness import LONGEST_WINDOW_DAYS, Need, Pace
from leadscore.records import Window
from leadscore.registry.ids import ORG_ID_PATTERN, VERSION_ID_PATTERN
from leadscore.registry.org_state import MEANINGS, OrgState
from leadscore.scoring import Action
from leadscore.training_status import TrainingStatus
from serving.dependencies.call_list import MAX_LEAD_ID_LENGTH, CallListEntry, Grade, Moment, Said, Trend
from serving.dependencies.grade_rules import Rule, WeeklyCapacity

OrgId = Annotated[
    str,
    msgspec.Meta(
        pattern=ORG_ID_PATTERN,
        description="1 to 80 characters: letters, digits and, after the first, also _ . @ : -; not two dots in a row",
        examples=["default"],
    ),
]
VersionId = Annotated[
    str,
    msgspec.Meta(pattern=VERSION_ID_PATTERN, description="14 digits, YYYYMMDDHHMMSS", examples=["20260314150926"]),
]
RUN_ID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"
RunId = Annotated[
    str,
    msgspec.Meta(
        pattern=RUN_ID_PATTERN,
        description="the id of a run in Dagster, a UUID",
        examples=["9c2c8a3e-5d0f-4b7a-8a51-0d6f2b1c7e94"],
    ),
]
RunState = Literal["kept", "gone", "unknown"]
Origin = Annotated[str, msgspec.Meta(max_length=64, description="list only the versions that this made")]
LeadIdText = Annotated[str, msgspec.Meta(max_length=MAX_LEAD_ID_LENGTH, examples=["4711"])]
LeadId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | LeadIdText
MOST_LEADS = 1_000
Items = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
# both stay undecoded until the version is known, because its contract says how to read them
Features = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/Features"})]
Batch = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/BatchItem"}}
    ),
]
# msgspec can describe and encode a union of two structs, but not decode it, so it cannot be declared
_SCORE_REF, _FAULT_REF = "#/components/schemas/BatchScore", "#/components/schemas/BatchFault"
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
ModelScope = Annotated[
    Scope,
    msgspec.Meta(
        description="own: the org's own model; taught: the org's version of the pooled model, taught by its own leads;"
        " pooled: the model of all orgs, which serves orgs without a version"
    ),
]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests: the fields of a body or of a query string."""


class OrgRequest(Request, frozen=True, kw_only=True):
    """Base of all requests about one org."""

    org_id: OrgId = "default"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


# scoring


class ScoringQuery(Request, frozen=True, kw_only=True):
    """Options of a score."""

    contributions: Annotated[
        bool, msgspec.Meta(description="false leaves feature_contributions empty, which is faster")
    ] = True


class PredictRequest(OrgRequest, frozen=True, kw_only=True):
    """One lead to score, by its features or by its id alone: then the server reads its features from the CRM now.

    Features that may be unknown may be left out. With features, `lead_id` is only echoed.
    """

    features: Features | msgspec.UnsetType = msgspec.UNSET
    lead_id: LeadId | None = None


class BatchRequest(OrgRequest, frozen=True, kw_only=True):
    """Leads to score with one version. An item is {features, lead_id?} or the features themselves."""

    batch: Batch


class Contribution(Answer, frozen=True, gc=False):
    """What one feature adds to the probability. `value` is as sent, null when unknown."""

    feature: str
    value: float | int | None
    contribution: float


class LeadScore(Answer, frozen=True, gc=False):
    """A lead's score, with the lead's id as sent. `base_value` plus all contributions equals the probability."""

    prediction: Literal[0, 1]
    conversion_probability: Share
    confidence: Annotated[Share, msgspec.Meta(description="share of the trees that agree with the prediction")]
    model_version: VersionId
    model_scope: ModelScope
    recommended_action: Action
    feature_contributions: Annotated[
        Sequence[Contribution], msgspec.Meta(description="every feature, the strongest contribution first")
    ]
    org_id: OrgId
    base_value: Share
    lead_id: LeadId | None


class PredictAnswer(LeadScore, frozen=True, gc=False):
    """A lead's score, with the lead's id as sent. `base_value` plus all contributions equals the probability."""

    note: Annotated[
        str | msgspec.UnsetType,
        msgspec.Meta(description="only for a lead whose conversion window is over: what the score cannot say"),
    ] = msgspec.UNSET


class BatchScore(LeadScore, frozen=True, gc=False):
    """The score of an item, with its lead id as sent. `base_value` plus all contributions equals the probability."""


class BatchFault(Answer, frozen=True, kw_only=True):
    """An item that could not be scored, with all of its faults."""

    error: str
    index: Annotated[int, msgspec.Meta(description="the item's place in the batch, counted from 0")]
    lead_id: LeadId | None
    code: str
    errors: tuple[Fault, ...]


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """The score or the faults of each item, in the order of the request.

    `count` is the number of items, and `failed` the number of items that could not be scored.
    """

    predictions: Annotated[
        list[Any],
        msgspec.Meta(extra_json_schema={"items": {"anyOf": [{"$ref": _SCORE_REF}, {"$ref": _FAULT_REF}]}}),
    ]
    count: int
    failed: int
    model_version: VersionId
    model_scope: ModelScope


# versions


class OrgQuery(OrgRequest, frozen=True, kw_only=True):
    """The org."""


class VersionQuery(OrgQuery, frozen=True, kw_only=True):
    """The org and the version; without a version, the active one."""

    version: VersionId | None = None


class VersionsQuery(OrgQuery, frozen=True, kw_only=True):
    """A page of the list, and filters by what made a version. `cursor` is the previous page's `next_cursor`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: VersionId | None = None
    run_id: Origin | None = None
    records_fingerprint: Origin | None = None
    sql_sha256: Origin | None = None
    code_version: Origin | None = None


class DecisionAnswer(Answer, frozen=True, kw_only=True):
    """How the gate judged a version: verdict, reasons and figures. `comparison` is null when nothing was compared.

    `withheld` says what else keeps the version from becoming active, but for a rollback to it.
    """

    verdict: Verdict
    reasons: list[str]
    withheld: list[str]
    notes: list[str]
    judged_at: str
    champion_version: VersionId | None
    comparison: Comparison | None


StandsOn = Annotated[
    VersionId | None,
    msgspec.Meta(description="version of the pooled model that this one was taught from; null for none"),
]
RemovedAt = Annotated[
    str | None,
    msgspec.Meta(
        description="when the version's files were removed because it was old, so that it cannot be activated any more;"
        " null while they are kept"
    ),
]


class InfoAnswer(Answer, frozen=True, kw_only=True):
    """A version, its quality and its provenance. `activated_at` is null when the version is not active."""

    org_id: OrgId
    version: VersionId
    activated_at: str | None
    metrics: Metrics | None
    feature_names: tuple[str, ...]
    training_data_size: Annotated[int, msgspec.Meta(description="number of records: leads with a known outcome")]
    is_active: bool
    activated_by: str | None
    activation_reason: str | None
    created_at: str
    run_id: RunId | None
    report_url: Annotated[str | None, msgspec.Meta(description="URL of the version's report, an HTML page")]
    run_url: Annotated[str | None, msgspec.Meta(description="URL of the run's page in Dagster, null when it is gone")]
    run_state: Annotated[
        RunState | None,
        msgspec.Meta(description="whether Dagster still has the run; `unknown` while it does not answer"),
    ]
    records_fingerprint: Annotated[str, msgspec.Meta(description="SHA-256 of the rows that are kept with the version")]
    sql_sha256: Annotated[str, msgspec.Meta(description="SHA-256 of the SQL that read the records")]
    contract_fingerprint: str
    window: Window
    libraries: dict[str, str]
    code_version: str
    decision: DecisionAnswer | None
    stands_on: StandsOn = None
    removed_at: RemovedAt = None


class ImportanceEntry(Answer, frozen=True, kw_only=True):
    """A feature and its mean absolute contribution to the probability."""

    feature: str
    importance: float
    rank: int


class ImportanceAnswer(Answer, frozen=True, kw_only=True):
    """The features of the active version, most important first."""

    features: list[ImportanceEntry]
    model_version: VersionId
    org_id: OrgId


class VersionEntry(Answer, frozen=True, kw_only=True):
    """A stored version. If its files are damaged, `problem` says what is wrong, and the other figures are null."""

    version: VersionId
    is_active: bool
    created_at: str | None
    metrics: Metrics | None
    decision: DecisionAnswer | None
    training_data_size: int | None
    run_id: RunId | None
    records_fingerprint: str | None
    sql_sha256: str | None
    code_version: str | None
    problem: str | None = None
    removed_at: RemovedAt = None


class VersionsAnswer(Answer, frozen=True, kw_only=True):
    """A page of versions, newest first; `next_cursor` is null on the last page."""

    versions: list[VersionEntry]
    next_cursor: VersionId | None
    org_id: OrgId


class PerformanceQuery(OrgQuery, frozen=True, kw_only=True):
    """The org, and the version whose entry alone is wanted; without a version, all entries."""

    version: VersionId | None = None


class RollbackRequest(OrgRequest, frozen=True, kw_only=True):
    """The version to serve. A version that did not pass the gate needs `force` and a reason."""

    version: VersionId
    expected_active: VersionId | None = None
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    force: bool = False


class RollbackAnswer(Answer, frozen=True, kw_only=True):
    """The version that is active now."""

    status: Literal["success"]
    org_id: OrgId
    version: VersionId
    message: str


class ActivationsQuery(OrgQuery, frozen=True, kw_only=True):
    """A page of the history. `cursor` is the previous page's `next_cursor`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class ActivationEntry(Answer, frozen=True, kw_only=True):
    """A change of the active version: when, from which to which, by whom and why.

    `version` is null when the active version was withdrawn, `previous` when none was active before.
    """

    at: str
    previous: VersionId | None
    version: VersionId | None
    by: Annotated[str, msgspec.Meta(description="the run in Dagster, or the token and the request")]
    reason: str


class ActivationsAnswer(Answer, frozen=True, kw_only=True):
    """A page of the history, newest first; `next_cursor` is null on the last page."""

    activations: list[ActivationEntry]
    next_cursor: int | None
    org_id: OrgId


# open leads


class LeadsQuery(OrgQuery, frozen=True, kw_only=True):
    """A page of the call list, and filters. `cursor` is the previous page's `next_cursor`."""

    grade: Annotated[Grade, msgspec.Meta(description="list only the leads of this grade")] | None = None
    trend: Annotated[Trend, msgspec.Meta(description="list only the leads with this trend")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_LEADS)] = 50
    cursor: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=1024, pattern="^[A-Za-z0-9_-]+$", description="the previous page's `next_cursor`, unchanged"
            ),
        ]
        | None
    ) = None
    format: (
        Annotated[Literal["json", "csv"], msgspec.Meta(description="what the header Accept asks for otherwise")] | None
    ) = None


class LeadsAnswer(Answer, frozen=True, kw_only=True):
    """A page of an org's open leads, the highest probability first; `next_cursor` is null on the last page.

    `scored_as_of` is the time of the scoring, and `scored_leads` the number of leads that it scored in all.
    `model_version` is null when the org had no model.
    """

    leads: list[CallListEntry]
    next_cursor: str | None
    scored_as_of: Moment
    scored_leads: int
    model_version: VersionId | None
    org_id: OrgId


class LeadAnswer(CallListEntry, frozen=True, kw_only=True):
    """An open lead's score at the last scoring, `scored_as_of`. `base_value` plus all contributions is the probability.

    `history` has what earlier scorings said, newest first: when the grade, the trend or the scope had changed, and at
    each landmark age; at most 200 entries.
    """

    org_id: OrgId
    scored_as_of: Moment
    base_value: Share
    feature_contributions: Annotated[
        Sequence[Contribution], msgspec.Meta(description="every feature, the strongest contribution first")
    ]
    history: list[Said]


class GradesRequest(OrgRequest, frozen=True, kw_only=True):
    """How the org's leads are graded.

    `base_rate`: by multiples of the org's conversion rate. `capacity`: so that `weekly_capacity` new leads a week get
    grade A.
    """

    rule: Rule
    weekly_capacity: WeeklyCapacity | None = None


class GradesAnswer(Answer, frozen=True, kw_only=True):
    """How the org's leads are graded, since when, and by whom: `default` after a first scoring when nobody set it.

    `cut_points` are the lowest probabilities of A, B and C. They are null until the next scoring computes them, and
    then stay until the rule is set again.
    """

    org_id: OrgId
    rule: Rule
    weekly_capacity: WeeklyCapacity | None
    cut_points: list[Share] | None
    set_at: Moment | None
    set_by: str | None


# training


class TrainRequest(OrgRequest, frozen=True, kw_only=True):
    """The org to train, on which data, and whether only to try it.

    A version whose `as_of` is before that of the active version is judged, but not activated.
    """

    as_of: (
        Annotated[
            str,
            msgspec.Meta(
                description="train on what was known at this past time (ISO 8601, UTC); by default, now",
                examples=["2026-03-15"],
            ),
        ]
        | None
    ) = None
    training_window_days: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=LONGEST_WINDOW_DAYS,
                description="use leads created in this many days before `as_of`; by default TRAINING_WINDOW_DAYS",
            ),
        ]
        | None
    ) = None
    activate: Annotated[
        bool,
        msgspec.Meta(description="false only judges the version: nothing but a rollback to it activates it later"),
    ] = True


class TrainQuery(Request, frozen=True, kw_only=True):
    """Options of a training."""

    wait: (
        Annotated[
            int,
            msgspec.Meta(ge=0, le=3600, description="seconds to wait for the result; by default TRAIN_WAIT_SECONDS"),
        ]
        | None
    ) = None


class TrainAnswer(Answer, frozen=True, kw_only=True):
    """A training that ended. When the gate held the new version, `activated` is false; `reasons` says why.

    `withheld` says why a version that passed the gate was not activated: it was only tried, or its data is older than
    that of the active version.
    """

    status: Literal["success"]
    org_id: OrgId
    version: VersionId
    activated: bool
    metrics: Metrics
    training_data_size: int
    verdict: Verdict
    reasons: list[str]
    withheld: list[str]
    run_id: RunId


class TrainRunning(Answer, frozen=True, kw_only=True):
    """A training that still runs. Ask again at the address in the header `Location`."""

    status: Literal["running"]
    org_id: OrgId
    run_id: RunId


# readiness


class SetAside(Answer, frozen=True, kw_only=True):
    """Rows that break the feature contract in one way, such as `property_price below 0`, and their share of all rows.

    A row may break it in several ways.
    """

    reason: str
    rows: int
    share: Share


class LastRunAnswer(Answer, frozen=True, kw_only=True):
    """How many rows the org's last run read and set aside, and how many records it read and had left after that."""

    stored_at: str
    rows: int
    set_aside_rows: int
    records: int
    records_left: int
    set_aside: list[SetAside]


class ReadinessAnswer(Answer, frozen=True, kw_only=True):
    """Whether an org has enough data for a training and, if not, when it will. `message` says it in words.

    `expected_on` is the day (UTC) on which all needs will be met at the pace of the last weeks: the day of `as_of` when
    they are already met, null when no date can be given. `needs` count the CRM's leads. When the last run had to set so
    many rows aside that too few records were left, `is_ready` is false although all needs are met.
    """

    org_id: OrgId
    as_of: str
    is_ready: bool
    needs: tuple[Need, ...]
    pace: Pace
    expected_on: date | None
    message: str
    has_active_model: bool
    last_run: Annotated[
        LastRunAnswer | None, msgspec.Meta(description="null before the org's first run, or when the CRM has no lead")
    ] = None


# orgs


class OrgsQuery(Request, frozen=True, kw_only=True):
    """A page of the list, and a filter. `cursor` is the previous page's `next_cursor`."""

    state: OrgState | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    cursor: OrgId | None = None


class OrgModel(Answer, frozen=True, kw_only=True):
    """The version that scores an org's leads. `age_days` is the time since it was trained."""

    version: VersionId
    scope: ModelScope
    activated_at: datetime | None
    trained_at: datetime | None
    age_days: float | None


class OrgVerdict(Answer, frozen=True, kw_only=True):
    """The verdict on an org's last training. `version` is null when that training ended without one.

    `held_since` is the time since which every judged version was held, null unless the last one was.
    """

    verdict: Verdict
    version: VersionId | None
    reasons: list[str]
    judged_at: datetime | None
    held_since: datetime | None


class OrgReadiness(Answer, frozen=True, kw_only=True):
    """Whether an org has enough data for a training, as counted at `as_of`, at most a day ago; `message` says it.

    `expected_on` is the day (UTC) on which it will have enough, null when no day can be given.
    """

    is_ready: bool
    records: int
    records_needed: int
    expected_on: date | None
    message: str
    as_of: datetime


class OpenLeadsByGrade(Answer, frozen=True, kw_only=True, rename="upper"):
    """The number of open leads of each grade."""

    a: int
    b: int
    c: int
    d: int


class OrgScoring(Answer, frozen=True, kw_only=True):
    """The last scoring of an org's open leads: how many there were and were scored, by grade and by trend."""

    scored_as_of: datetime
    open_leads: int
    scored_leads: int
    leads_by_grade: OpenLeadsByGrade
    improving_leads: int
    declining_leads: int


class OrgCameTrue(Answer, frozen=True, kw_only=True):
    """Whether what the org was promised came true, by its mature leads, as of its last proof.

    `promised` is the mean of the first probability that was said of each lead, `converted` the share that did.
    `is_listed` says whether the org is on the list of those to look at, which compares all orgs.
    """

    state: LiveState
    leads: int
    promised: Share | None
    converted: Share | None
    alarmed_on: date | None
    judgeable_on: Annotated[
        date | None, msgspec.Meta(description="when there will be enough leads to judge; null when no day can be told")
    ]
    is_listed: bool


class OrgTraining(Answer, frozen=True, kw_only=True):
    """How a training of an org ended; `insufficient_data` when its data was refused."""

    status: TrainingStatus
    ended_at: datetime


class OrgEntry(Answer, frozen=True, kw_only=True):
    """How an org stands. What it does not have yet, such as a model or a scoring, is null."""

    org_id: str
    state: Annotated[
        OrgState, msgspec.Meta(description="; ".join(f"{state}: {meaning}" for state, meaning in MEANINGS.items()))
    ]
    state_since: Annotated[
        datetime, msgspec.Meta(description="when the state began or, where that is not recorded, was first seen")
    ]
    problem: Annotated[str | None, msgspec.Meta(description="why the org is withdrawn, or what is damaged")]
    model: OrgModel | None
    last_verdict: OrgVerdict | None
    last_run_at: Annotated[datetime | None, msgspec.Meta(description="when a run last read the org's records")]
    readiness: OrgReadiness | None
    scoring: OrgScoring | None
    came_true: Annotated[OrgCameTrue | None, msgspec.Meta(description="null before the first proof")]
    last_training: Annotated[
        OrgTraining | None, msgspec.Meta(description="how the org's last training ended, whichever way it began")
    ]
    warnings: Annotated[
        list[OrgWarning],
        msgspec.Meta(
            description="what may need attention; "
            + "; ".join(f"{warning}: {meaning}" for warning, meaning in WARNINGS.items())
        ),
    ]


class OrgsAnswer(Answer, frozen=True, kw_only=True):
    """A page of the orgs that the caller's token may see, by id; `next_cursor` is null on the last page.

    `total` counts the orgs that match the filter. The state is that of `refreshed_at`, about a minute ago; it is null
    until the list was first made.
    """

    orgs: list[OrgEntry]
    next_cursor: OrgId | None
    total: int
    refreshed_at: datetime | None


# health


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """The state of the server, and of the model that scores the org. `degraded` means that `problems` names something.

    A caller without a token to read the org gets `status` alone. Without Dagster's webserver, or its database, the
    state of its code server and daemon is `unknown`.
    """

    status: Literal["healthy", "degraded"]
    problems: (
        Annotated[list[str], msgspec.Meta(description="what is wrong, what that means, and what to do")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    timestamp: str | msgspec.UnsetType = msgspec.UNSET
    model_version: VersionId | msgspec.UnsetType | None = msgspec.UNSET
    model_scope: ModelScope | msgspec.UnsetType | None = msgspec.UNSET
    database: Literal["up", "down"] | msgspec.UnsetType = msgspec.UNSET
    dagster: Literal["up", "down"] | msgspec.UnsetType = msgspec.UNSET
    code_server: Literal["up", "down", "unknown"] | msgspec.UnsetType = msgspec.UNSET
    daemon: Literal["up", "down", "unknown"] | msgspec.UnsetType = msgspec.UNSET
    registry: Literal["up", "down"] | msgspec.UnsetType = msgspec.UNSET
    models_loaded: int | msgspec.UnsetType = msgspec.UNSET


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """The process is alive, or ready to serve."""

    status: Literal["live", "ready"]


# errors


class ProblemBase(Answer, frozen=True, kw_only=True):
    """The fields of every refusal (RFC 9457). `error` repeats `detail` for simple clients."""

    type: str
    title: str
    detail: str
    instance: str
    code: str
    request_id: str
    error: str
    errors: Annotated[
        tuple[Fault, ...],
        msgspec.Meta(description="all faults; `pointer` is a JSON pointer, or ?name for a query parameter"),
    ]


class Problem(ProblemBase, frozen=True, kw_only=True):
    """Why a request was refused. `run_id` is present when the refusal is about a training run."""

    status: int
    run_id: RunId | msgspec.UnsetType = msgspec.UNSET


class InsufficientData(ProblemBase, frozen=True, kw_only=True):
    """A training whose data the gate refuses. Here `status` is a word instead of a number.

    `readiness` is the present plan. It is absent when the CRM's database does not answer. `run_id` is absent when the
    data was refused before a run was launched.
    """

    status: Literal["insufficient_data"]
    message: str
    org_id: OrgId
    run_id: RunId | msgspec.UnsetType = msgspec.UNSET
    readiness: ReadinessAnswer | msgspec.UnsetType = msgspec.UNSET
