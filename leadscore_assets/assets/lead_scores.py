"""lead_scores: the org's open leads, scored by the model that serves the org, in tables of ours in the CRM's database.

Only differences are written, so materializing it again at the same time writes nothing.
"""

import dagster as dg
from pydantic import Field

from leadscore.pooling import POOLED
from leadscore.records import parse_as_of, window_from
from leadscore.registry.store import Registry
from leadscore.scoring import action_policy_from
from leadscore.settings import Settings
from leadscore_assets.assets.active_model import active_model
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.scores import preview, scoring_metadata
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.scoring.score_org import Task, score_org
from leadscore_assets.scoring.tables import create_month_of_history
from leadscore_assets.source.database import connect


class ScoringConfig(dg.Config):
    """Configuration of one run; by default, leads are scored as they are now."""

    as_of: str | None = Field(default=None, description="Time as of which to score (ISO 8601, UTC).")
    is_full: bool = Field(
        default=False, description="Score every lead again, also those that cannot have another score than before."
    )
    replaces_later: bool = Field(default=False, description="Also replace scores of a later `as_of`.")

    def task(self, settings: Settings, run_id: str) -> Task:
        """Return how this run scores. Raises InvalidInput when `as_of` is not a time, or is in the future."""
        return Task(
            window_from(settings, None if self.as_of is None else parse_as_of(self.as_of)),
            action_policy_from(settings),
            run_id,
            is_full=self.is_full,
            replaces_later=self.replaces_later,
            is_present=self.as_of is None,
        )


@org_asset("serving", {"python", "postgres"}, deps=[active_model])
def lead_scores(
    context: dg.AssetExecutionContext,
    config: ScoringConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
) -> dg.MaterializeResult[None]:
    """The org's open leads with probability, grade, trend and reasons, in `leadscore.lead_score`.

    The CRM's backend reads them in the view `leadscore.call_list`. The pooled model has no leads of its own.
    """
    org_id = context.partition_key
    if org_id == POOLED:
        return dg.MaterializeResult(metadata={"note": "the leads are scored in the partitions of their orgs"})
    with clear_failures(), connect(settings) as connection:
        task = config.task(settings, context.run.run_id)
        create_month_of_history(connection, task.as_of)
        models = OrgModels(registry, is_pooling=settings.pooled_model)
        scoring = score_org(connection, models, org_id, task)
        table = preview(connection, org_id)
    context.log.info("%s", scoring.in_words)
    if scoring.fault:
        context.log.error("%s", scoring.fault)
    return dg.MaterializeResult(
        metadata={**scoring_metadata(settings, scoring), "first_calls": table},
        data_version=dg.DataVersion(scoring.content),
    )
