"""live_performance: what came true of the scores that the org was given, once the leads' outcomes are mature."""

import dagster as dg
from pydantic import Field

from leadscore.pooling import POOLED
from leadscore.records import Window, parse_as_of, window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.lead_scores import lead_scores
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.live import data_version, live_metadata
from leadscore_assets.proof.drift import judge_inputs
from leadscore_assets.proof.promises import Promises
from leadscore_assets.proof.prove_org import prove_org
from leadscore_assets.proof.sent_features import compare_sent_features
from leadscore_assets.source.database import connect


class ProofConfig(dg.Config):
    """Configuration of one run; by default, all leads that are mature now are judged."""

    as_of: str | None = Field(default=None, description="Time as of which leads are mature (ISO 8601, UTC).")

    def window(self, settings: Settings) -> Window:
        """Return the window that ends at `as_of`. Raises InvalidInput when that is no time, or in the future."""
        return window_from(settings, None if self.as_of is None else parse_as_of(self.as_of))


@org_asset("serving", {"python", "postgres"}, deps=[lead_scores])
def live_performance(
    context: dg.AssetExecutionContext,
    config: ProofConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
) -> dg.MaterializeResult[None]:
    """What was promised of the org's leads, and what came true, per version, grade, month and age.

    A lead counts once its conversion window is over. The check `came_true` warns when the outcomes contradict what was
    promised beyond chance, and the check `inputs_as_learned` on `lead_scores` when features arrive otherwise than they
    were learned. The pooled model has no leads of its own.
    """
    org_id = context.partition_key
    if org_id == POOLED:
        return dg.MaterializeResult(metadata={"note": "the scores are judged in the partitions of their orgs"})
    with clear_failures(), connect(settings) as connection:
        window = config.window(settings)
        figures = prove_org(connection, Promises(registry), org_id, window)
        inputs = judge_inputs(connection, registry, org_id, window)
        skew = compare_sent_features(connection, org_id, window)
    for found in (figures, inputs, skew):
        context.log.info("%s", found.in_words)
    return dg.MaterializeResult(
        metadata=live_metadata(settings, figures), data_version=dg.DataVersion(data_version(figures))
    )
