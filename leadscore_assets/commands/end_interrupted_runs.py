"""`python -m leadscore_assets.commands.end_interrupted_runs [ARGUMENTS]`: end runs that died with their code server.

Runs are processes of the code server. One that is killed with it cannot say so: Dagster takes it for running, and lets
no other training of its org begin. So this runs before a code server serves. With arguments, which are Python's own, it
then becomes that server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import dagster as dg

from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from leadscore_assets.source.database import connect

# Queued runs are not among them: they have no process yet, and the daemon starts them once the code server is up.
WITH_A_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
WHY = "The code server ended while this run was going on, and the run with it. Start another."


def end_interrupted_runs(instance: dg.DagsterInstance) -> int:
    """Mark every run that is said to be going on as failed, or as cancelled where that was asked for; return how many.

    Right only while no code server serves: none of them can be going on then.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=WITH_A_PROCESS))
    for run in runs:
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, WHY)
        else:
            instance.report_run_failed(run, WHY)
    return len(runs)


def main(arguments: Sequence[str]) -> int:
    """End the interrupted runs of the instance that DAGSTER_HOME names; then become Python with `arguments`, if any."""
    try:
        connect(read_settings()).close()  # its refusal is clearer than Dagster's
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    with dg.DagsterInstance.get() as instance:
        count = end_interrupted_runs(instance)
    print(f"{count} interrupted runs were ended.", flush=True)
    if arguments:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  # whoever starts this names it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
