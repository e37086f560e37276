"""From a judgement to the files that are stored with it: the one place where the report meets the settings."""

from __future__ import annotations

from collections.abc import Mapping

from leadscore.arrays import Floats
from leadscore.gate import Judgement
from leadscore.registry.store import REPORT_FILE
from leadscore.registry.version import LoadedVersion, Manifest
from leadscore.scoring import action_policy_from
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.report.figures import Links, ReportMaterial, material_of
from leadscore_assets.report.render import render_report
from leadscore_assets.training.judge import Describe


def report_describer(settings: Settings) -> Describe:
    """Return what makes, of a judgement, the report that `judge` stores with it."""

    def describe(
        artifact: LoadedVersion, judgement: Judgement, features: FeatureRows, champion: Floats | None
    ) -> Mapping[str, bytes]:
        material = material_from(settings, artifact, judgement, features, champion=champion)
        return {REPORT_FILE: render_report(material)}

    return describe


def material_from(
    settings: Settings, artifact: LoadedVersion, judgement: Judgement, features: FeatureRows, *, champion: Floats | None
) -> ReportMaterial:
    """Gather a version's report as `material_of` does, with what the settings say."""
    manifest = artifact.manifest
    policy, links = action_policy_from(settings), _links(manifest, settings)
    return material_of(artifact, judgement, features, champion, policy=policy, links=links)


def _links(manifest: Manifest, settings: Settings) -> Links:
    info = settings.link("/api/v1/model/info", org_id=manifest.org_id, version=manifest.version)
    return Links(info=info, run=settings.run_link(manifest.run_id))
