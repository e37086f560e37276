"""Makes the report of a judgement; the only place where the report uses the settings."""

from __future__ import annotations

from leadscore.gate import Judgement
from leadscore.pooling import POOLED
from leadscore.registry.store import REPORT_FILE
from leadscore.registry.version import Manifest
from leadscore.scoring import action_policy_from
from leadscore.settings import Settings
from leadscore_assets.report.figures import Links, ReportMaterial, material_of
from leadscore_assets.report.render import render_report
from leadscore_assets.training.judge import Judging
from leadscore_assets.training.one_core import on_one_core


def described(settings: Settings, judging: Judging) -> tuple[Judgement, dict[str, bytes]]:
    """Return the judgement with the notes of its report, and by name the files to store with it: the report, a page."""
    material = material_from(settings, judging)
    return material.judgement, {REPORT_FILE: render_report(material)}


def material_from(settings: Settings, judging: Judging) -> ReportMaterial:
    """Gather a version's report as `material_of` does, with what the settings say."""
    policy, links = action_policy_from(settings), _links(judging.candidate.manifest, settings)
    with on_one_core():
        return material_of(
            judging.candidate,
            judging.judgement,
            judging.features,
            judging.champion,
            untaught=judging.untaught,
            policy=policy,
            links=links,
        )


def _links(manifest: Manifest, settings: Settings) -> Links:
    info = settings.link("/api/v1/model/info", org_id=manifest.org_id, version=manifest.version)
    org = None if manifest.org_id == POOLED else settings.link(f"/orgs/{manifest.org_id}")
    return Links(info=info, run=settings.run_link(manifest.run_id), org=org)
