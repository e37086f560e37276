"""The composition root of the server: builds the parts that the routes use, once per app."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leadscore.errors import AnotherRegistry
from leadscore.registry.store import Registry
from leadscore.scoring import ActionPolicy, action_policy_from
from leadscore.secret_file import dagster_token
from leadscore.settings import Settings
from serving.dependencies.answered_scores import AnsweredScores
from serving.dependencies.call_list import CallList
from serving.dependencies.crm_database import CrmDatabase
from serving.dependencies.dagster_client import PROBE_SECONDS, DagsterClient
from serving.dependencies.dagster_state import DagsterState
from serving.dependencies.grade_moves import GradeMoves
from serving.dependencies.grade_rules import GradeRules
from serving.dependencies.lead_reader import LeadReader
from serving.dependencies.live_proof import LiveProof
from serving.dependencies.org_claims import OrgClaims
from serving.dependencies.org_health import OrgHealthTable
from serving.dependencies.probes import DatabaseState, Probe, database_state
from serving.dependencies.readiness_source import ReadinessSource
from serving.dependencies.stored_figures import StoredFigures
from serving.models.cache import ModelCache
from serving.models.mapped_files import MappedFiles
from serving.shared_folder import private_folder
from serving.telemetry.metrics import Metrics
from serving.telemetry.recorder import Recorder
from serving.training.run_claims import RunClaims
from serving.training.runs import Trainings

EXTENSION = "leadscore"
COPIES_FOLDER = "registry-copies"
FRESH_SECONDS = 5.0
DATABASE_WAIT_SECONDS = 1.0
DAGSTER_WAIT_SECONDS = 2 * PROBE_SECONDS + 0.2  # for its two questions


@dataclass(frozen=True)
class Services:
    """The parts of one app. `is_stopping` is set when the process was told to stop."""

    settings: Settings
    registry: Registry
    models: ModelCache
    policy: ActionPolicy
    trainings: Trainings
    database: Probe[DatabaseState]
    dagster: Probe[DagsterState]
    crm: CrmDatabase
    readiness: ReadinessSource
    lead_reader: LeadReader
    call_list: CallList
    grade_moves: GradeMoves
    grade_rules: GradeRules
    org_health: OrgHealthTable
    answered_scores: AnsweredScores
    stored_figures: StoredFigures
    live_proof: LiveProof
    metrics: Metrics
    recorder: Recorder
    is_stopping: threading.Event

    def check_registry(self) -> None:
        """Raise AnotherRegistry when the CRM's database has a control plane with another registry than this server's.

        While the database does not answer, any registry will do: a rollback must not depend on it.
        """
        living = self.database.answer().registry_id
        if living is not None and living != self.registry.present_id():  # which a server never makes
            raise AnotherRegistry


def build_services(
    settings: Settings, folder: Path | None = None, is_stopping: threading.Event | None = None
) -> Services:
    """Return the parts that `settings` ask for. Opens no connection and reads no file.

    Without a `folder` that several processes share, a private one is created when it is first needed.
    """
    shared = cache(lambda: folder or private_folder())
    is_stopping = is_stopping or threading.Event()
    metrics, registry = Metrics(), Registry(settings.model_path, copies=settings.state_dir / COPIES_FOLDER)
    files = MappedFiles(lambda: shared() / "copies")
    models = ModelCache(registry, settings.model_cache_bytes, metrics, files, is_pooling=settings.pooled_model)
    dagster = DagsterClient(settings.dagster_url, dagster_token(settings))
    database = Probe(
        "database",
        lambda: database_state(settings),
        DatabaseState("down"),
        fresh_seconds=FRESH_SECONDS,
        wait_seconds=DATABASE_WAIT_SECONDS,
    )
    # of the threads a quarter is left to scoring, and another to those who only ask how a training stands
    at_a_time, waiting = settings.server_threads * 3 // 4, settings.server_threads // 2
    crm = CrmDatabase(settings, database, most_at_a_time=settings.server_threads // 8)
    return Services(
        settings=settings,
        registry=registry,
        models=models,
        policy=action_policy_from(settings),
        trainings=Trainings(
            dagster,
            registry,
            RunClaims(shared),
            OrgClaims(crm),
            is_stopping,
            most_at_a_time=at_a_time,
            most_waiting=waiting,
            max_queued=settings.max_queued_trainings,
        ),
        database=database,
        dagster=Probe(
            "dagster",
            dagster.state,
            DagsterState("down"),
            fresh_seconds=FRESH_SECONDS,
            wait_seconds=DAGSTER_WAIT_SECONDS,
        ),
        crm=crm,
        readiness=ReadinessSource(settings, crm),
        lead_reader=LeadReader(settings, crm),
        call_list=CallList(crm),
        grade_moves=GradeMoves(crm),
        grade_rules=GradeRules(crm),
        org_health=OrgHealthTable(crm),
        answered_scores=AnsweredScores(settings, database, metrics.count_remembered),
        stored_figures=StoredFigures(crm, shared),
        live_proof=LiveProof(crm),
        metrics=metrics,
        recorder=Recorder(metrics, models.take_hits),
        is_stopping=is_stopping,
    )
