"""Why a training failed, in the words that the error's class has for users of the API.

The failure's own text stays in Dagster, because it may show paths, SQL, hosts and users.
"""

from __future__ import annotations

from leadscore.errors import all_errors
from serving.dependencies.dagster_client import Run, StepFailure

DETAILS = "the run in Dagster has the details"

MESSAGES: dict[str, str] = {error.code: error.in_training for error in all_errors() if error.in_training}


def failure_message(run: Run, failures: list[StepFailure]) -> str:
    """Return why the run failed: the words of the first failure whose class has some."""
    if run.status == "CANCELED":
        return "the training run was cancelled; start another"
    codes = (failure.metadata.get("code", "") for failure in failures)
    kind = next((MESSAGES[code] for code in codes if code in MESSAGES), "the training run failed")
    return f"{kind}; {DETAILS}"
