"""Every request and answer of the API as a type. Requests are checked against them, the description is made of them.

Fields are never renamed, retyped or dropped: callers exist. How bytes become these types is in `request_parsing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from leadscore.comparison import Comparison
from leadscore.errors import Fault
from leadscore.evaluation import Metrics
from leadscore.pooling import Scope
from leadscore.readiness import Need, Pace
from leadscore.records import Window
from leadscore.registry.ids import ORG_ID_PATTERN, VERSION_ID_PATTERN
from leadscore.scoring import Action

OrgId = Annotated[
    str,
    msgspec.Meta(
        pattern=ORG_ID_PATTERN,
        description="1 to 80 characters: letters, digits, and after the first also _ . @ : -, no two dots in a row",
        examples=["default"],
    ),
]
VersionId = Annotated[
    str,
    msgspec.Meta(pattern=VERSION_ID_PATTERN, description="14 digits, YYYYMMDDHHMMSS", examples=["20260314150926"]),
]
RunId = Annotated[str, msgspec.Meta(description="a Dagster run's id: a UUID")]
Origin = Annotated[str, msgspec.Meta(max_length=64, description="only versions that were made by or from this")]
LeadId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, msgspec.Meta(max_length=128)]
Items = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
# both are left as they came until the version is known, whose contract says how to read them
Features = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/Features"})]
Batch = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/BatchItem"}}
    ),
]
# a union of two structs can be described and encoded, but not be declared: it could not be decoded
_SCORE_REF, _FAULT_REF = "#/components/schemas/BatchScore", "#/components/schemas/BatchFault"
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
ModelScope = Annotated[
    Scope, msgspec.Meta(description="own: the org's model; pooled: the model of all orgs, for an org without its own")
]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what callers send, in the body or in the query string."""


class OrgRequest(Request, frozen=True, kw_only=True):
    """Base of what they send about one org."""

    org_id: OrgId = "default"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what they get back."""


# scoring


class ScoringQuery(Request, frozen=True, kw_only=True):
    """How a score is answered."""

    contributions: Annotated[
        bool, msgspec.Meta(description="false leaves feature_contributions empty, which is faster")
    ] = True


class PredictRequest(OrgRequest, frozen=True, kw_only=True):
    """One lead to score."""

    features: Features


class BatchRequest(OrgRequest, frozen=True, kw_only=True):
    """Leads to score with one version. An item is {features, lead_id?} or the features themselves."""

    batch: Batch


class Contribution(Answer, frozen=True, gc=False):
    """What one feature added to the probability; `value` as given, null when unknown."""

    feature: str
    value: float | int | None
    contribution: float


class PredictAnswer(Answer, frozen=True, gc=False):
    """A lead's score. `base_value` plus the sum of all contributions is the probability."""

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


class BatchScore(PredictAnswer, frozen=True, gc=False):
    """An item's score, with its lead id as given."""

    lead_id: LeadId | None


class BatchFault(Answer, frozen=True, kw_only=True):
    """An item that could not be scored, and everything that is wrong with it."""

    error: str
    index: Annotated[int, msgspec.Meta(description="the item's place in the batch, from 0")]
    lead_id: LeadId | None
    code: str
    errors: tuple[Fault, ...]


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """The items' scores or faults, in the order of the request; `count` is all of them, `failed` the faults."""

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
    """Whose model."""


class VersionQuery(OrgQuery, frozen=True, kw_only=True):
    """Which version; the active one unless given."""

    version: VersionId | None = None


class VersionsQuery(OrgQuery, frozen=True, kw_only=True):
    """Which part of the list. `cursor` is where the page before ended; the others name what made a version."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: VersionId | None = None
    run_id: Origin | None = None
    records_fingerprint: Origin | None = None
    sql_sha256: Origin | None = None
    code_version: Origin | None = None


class DecisionAnswer(Answer, frozen=True, kw_only=True):
    """How the gate judged a version, in words, and the figures behind them; there are none when it was refused."""

    verdict: Literal["activate", "hold", "refuse"]
    reasons: list[str]
    notes: list[str]
    judged_at: str
    champion_version: VersionId | None
    comparison: Comparison | None


class InfoAnswer(Answer, frozen=True, kw_only=True):
    """A version and where it comes from. `activated_at` is null when it is not active."""

    org_id: OrgId
    version: VersionId
    activated_at: str | None
    metrics: Metrics | None
    feature_names: tuple[str, ...]
    training_data_size: Annotated[int, msgspec.Meta(description="records: leads with a known outcome")]
    is_active: bool
    activated_by: str | None
    activation_reason: str | None
    created_at: str
    run_id: RunId | None
    report_url: Annotated[str | None, msgspec.Meta(description="the version's report, a page for people")]
    run_url: Annotated[str | None, msgspec.Meta(description="the run's page in Dagster")]
    records_fingerprint: Annotated[str, msgspec.Meta(description="SHA-256 of the rows kept with the version")]
    sql_sha256: Annotated[str, msgspec.Meta(description="SHA-256 of the SQL that read the records")]
    contract_fingerprint: str
    window: Window
    libraries: dict[str, str]
    code_version: str
    decision: DecisionAnswer | None


class ImportanceEntry(Answer, frozen=True, kw_only=True):
    """A feature's mean absolute contribution, in probability."""

    feature: str
    importance: float
    rank: int


class ImportanceAnswer(Answer, frozen=True, kw_only=True):
    """The features of the active version, the most important first."""

    features: list[ImportanceEntry]
    model_version: VersionId
    org_id: OrgId


class VersionEntry(Answer, frozen=True, kw_only=True):
    """A stored version. `problem` says what is wrong with files that are damaged; the figures are null then."""

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


class VersionsAnswer(Answer, frozen=True, kw_only=True):
    """A page of versions, newest first; `next_cursor` is null on the last page."""

    versions: list[VersionEntry]
    next_cursor: VersionId | None
    org_id: OrgId


class RollbackRequest(OrgRequest, frozen=True, kw_only=True):
    """The version to serve. `force` and a reason are needed for one that the gate did not let pass."""

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


# training


class TrainRequest(OrgRequest, frozen=True, kw_only=True):
    """Whose model to train."""


class TrainQuery(Request, frozen=True, kw_only=True):
    """How long to wait for the result; the default is TRAIN_WAIT_SECONDS."""

    wait: Annotated[int, msgspec.Meta(ge=0, le=3600, description="seconds")] | None = None


class TrainAnswer(Answer, frozen=True, kw_only=True):
    """A training that ended. `activated` is false, with the reasons, when the gate held the new version."""

    status: Literal["success"]
    org_id: OrgId
    version: VersionId
    activated: bool
    metrics: Metrics
    training_data_size: int
    reasons: list[str]
    run_id: RunId


class TrainRunning(Answer, frozen=True, kw_only=True):
    """A training that goes on; ask again at `Location`."""

    status: Literal["running"]
    org_id: OrgId
    run_id: RunId


# readiness


class ReadinessAnswer(Answer, frozen=True, kw_only=True):
    """Whether an org has enough data for a training, and if not, when it will. `message` says all of it in words.

    `expected_on` is the day (UTC) on which every need is met at the pace of the last weeks: `as_of`'s own when they
    are met already, null when no day can be told.
    """

    org_id: OrgId
    as_of: str
    is_ready: bool
    needs: tuple[Need, ...]
    pace: Pace
    expected_on: date | None
    message: str
    has_active_model: bool


# health


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """`degraded` when the database, Dagster or the registry is away; leads are scored all the same while they can."""

    status: Literal["healthy", "degraded"]
    timestamp: str
    model_version: VersionId | None
    model_scope: ModelScope | None
    database: Literal["up", "down"]
    dagster: Literal["up", "down"]
    registry: Literal["up", "down"]
    models_loaded: int


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """The process lives, or can serve."""

    status: Literal["live", "ready"]


# errors


class ProblemBase(Answer, frozen=True, kw_only=True):
    """The members that every refusal has (RFC 9457); `error` repeats `detail` for simple clients."""

    type: str
    title: str
    detail: str
    instance: str
    code: str
    request_id: str
    error: str
    errors: Annotated[
        tuple[Fault, ...],
        msgspec.Meta(description="every fault; `pointer` is a JSON pointer, or ?name for a query parameter"),
    ]


class Problem(ProblemBase, frozen=True, kw_only=True):
    """Why a request was refused. `run_id` is there when a training run is concerned."""

    status: int
    run_id: RunId | msgspec.UnsetType = msgspec.UNSET


class InsufficientData(ProblemBase, frozen=True, kw_only=True):
    """A training whose data the gate refuses. Here `status` is a word: callers read it.

    `readiness` is the plan, as of now; it is left out when the CRM's database does not answer. `run_id` is left out
    where the data was refused before a run was launched.
    """

    status: Literal["insufficient_data"]
    message: str
    org_id: OrgId
    run_id: RunId | msgspec.UnsetType = msgspec.UNSET
    readiness: ReadinessAnswer | msgspec.UnsetType = msgspec.UNSET
