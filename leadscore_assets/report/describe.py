"""From a judgement to the files that are stored with it: the one place where the report meets registry and settings."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from leadscore.artifact import ESTIMATOR_FILE, Artifact, Manifest
from leadscore.evaluation import Floats
from leadscore.gate import Judgement
from leadscore.registry import REPORT_FILE, Registry
from leadscore.scoring import action_policy_from
from leadscore.settings import Settings
from leadscore_assets.report.material import Links, material_of
from leadscore_assets.report.render import render_report
from leadscore_assets.training.features import FeatureRows
from leadscore_assets.training.judge import Describe


def report_describer(registry: Registry, settings: Settings) -> Describe:
    """Return what makes, of a judgement, the report that `judge` stores with it."""

    def describe(
        artifact: Artifact, judgement: Judgement, features: FeatureRows, champion: Floats | None
    ) -> Mapping[str, bytes]:
        manifest = artifact.manifest
        material = material_of(
            artifact,
            registry.file(manifest.org_id, manifest.version, ESTIMATOR_FILE),
            judgement,
            features,
            champion,
            policy=action_policy_from(settings),
            links=_links(manifest, settings),
        )
        return {REPORT_FILE: render_report(material)}

    return describe


def _links(manifest: Manifest, settings: Settings) -> Links:
    query = urlencode({"org_id": manifest.org_id, "version": manifest.version})
    run = f"{settings.dagster_url.rstrip('/')}/runs/{manifest.run_id}" if manifest.run_id else None
    return Links(info=settings.link(f"/api/v1/model/info?{query}"), run=run)
