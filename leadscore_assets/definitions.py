"""The composition root: the one place where settings, registry and CRM are chosen and put together."""

from __future__ import annotations

import dagster as dg

from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets import assets, checks, jobs
from leadscore_assets.io_managers import LeadscoreTables
from leadscore_assets.resources import Crm
from leadscore_assets.schedules import proof_schedule, retention_schedule, retraining_schedule, scoring_schedule
from leadscore_assets.sensors import (
    erase_gone_leads,
    follow_identities,
    follow_orgs,
    log_canceled_trainings,
    log_failed_runs,
    refresh_org_health,
    report_active_versions,
    resume_trainings,
    score_changed_orgs,
    watch_schedules,
    watch_scores,
)
from leadscore_assets.source.extraction import check_sql

# for an org's lock in the registry: nobody waits for the answer
TRAINING_WAIT_SECONDS = 60.0


def build_defs(settings: Settings) -> dg.Definitions:
    """Return the definitions for `settings`; tests pass their own."""
    return dg.Definitions(
        assets=assets.ALL,
        asset_checks=checks.ALL,
        jobs=jobs.ALL,
        schedules=[
            retraining_schedule(settings.retrain_schedule),
            scoring_schedule(settings.score_schedule),
            proof_schedule(settings.proof_schedule),
            retention_schedule(settings.retention_schedule),
        ],
        sensors=[
            follow_orgs,
            follow_identities,
            erase_gone_leads,
            refresh_org_health,
            report_active_versions,
            resume_trainings,
            score_changed_orgs,
            watch_schedules,
            watch_scores,
            log_failed_runs,
            log_canceled_trainings,
        ],
        resources={
            "settings": settings,
            "registry": Registry(settings.model_path, wait_seconds=TRAINING_WAIT_SECONDS, is_watching=True),
            "crm": Crm(settings),
            "io_manager": LeadscoreTables(settings),
        },
        # the default executor starts an interpreter for each step; orgs run side by side as runs instead
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the environment's settings; this is what Dagster loads."""
    settings = read_settings()
    check_sql(settings)
    return build_defs(settings)
