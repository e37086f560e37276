"""What may need attention in an org: the words that `leadscore.org_health`, metrics, API and pages share.

An org has any number of them at once; its state is another thing.
"""

from __future__ import annotations

from typing import Literal

OrgWarning = Literal["not_ready", "training_overdue", "training_failed", "refused", "held", "scores_overdue"]

WARNINGS: dict[OrgWarning, str] = {
    "not_ready": "it has not enough data for a training",
    "training_overdue": "it has enough data, but none of the last two scheduled trainings reached it",
    "training_failed": "its last training failed",
    "refused": "the data of its last training was refused",
    "held": "its last version was held",
    "scores_overdue": "its leads were not scored when they were due",
}
