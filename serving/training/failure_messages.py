"""Why a training failed, as callers are told: fixed words for each kind of failure.

The failure's own text stays in Dagster, because it may show paths, SQL, hosts and users.
"""

from __future__ import annotations

from leadscore.errors import (
    ActiveVersionMoved,
    AlreadyJudged,
    Damaged,
    DatabaseUnavailable,
    InvalidFeatures,
    InvalidId,
    InvalidInput,
    InvalidSettings,
    NotActivatable,
    NotMaterialized,
    RegistryUnavailable,
    SourceMismatch,
    UnsupportedFormat,
    VersionNotFound,
)
from serving.dependencies.dagster_client import Run, StepFailure

DETAILS = "the run in Dagster has the details"

_UNUSABLE = "the org's data cannot be used"
WORDS: dict[str, str] = {
    ActiveVersionMoved.code: "another version became active in the meantime",
    AlreadyJudged.code: "the version was judged before",
    Damaged.code: "stored files of the org are not what was written",
    DatabaseUnavailable.code: "the CRM's database could not be used",
    InvalidFeatures.code: _UNUSABLE,
    InvalidId.code: _UNUSABLE,
    InvalidInput.code: _UNUSABLE,
    InvalidSettings.code: "a setting of the training is wrong",
    NotActivatable.code: "the version may not become active",
    NotMaterialized.code: "an earlier step was never made for the org",
    RegistryUnavailable.code: "the model registry could not be used",
    SourceMismatch.code: "what was read from the CRM does not fit what a training needs",
    UnsupportedFormat.code: "stored files of the org are in a format that this release does not read",
    VersionNotFound.code: "the version to judge is gone",
}


def why(run: Run, failures: list[StepFailure]) -> str:
    """Return why the run failed; of several failures that we have words for, the first counts."""
    if run.status == "CANCELED":
        return "the training run was cancelled; start another"
    codes = (failure.metadata.get("code", "") for failure in failures)
    kind = next((WORDS[code] for code in codes if code in WORDS), "the training run failed")
    return f"{kind}; {DETAILS}"
