"""`python -m leadscore_assets.commands.end_interrupted_runs [ARGUMENTS]`: end runs that died with their code server.

Runs are processes of the code server. A run that is killed together with it cannot report its end: Dagster still shows
it as running, and starts no other training of its org. This command therefore runs before a code server starts. With
arguments, which are those of Python, it then becomes that server. Where a run launcher starts each run in a container
of its own, runs survive the code server and none is ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher

from leadscore.errors import LeadscoreError
from leadscore.registry.store import Registry
from leadscore.settings import read_settings
from leadscore_assets.source.control_plane import check_same_registry
from leadscore_assets.source.preconditions import check_database

# Queued runs are not among them: they have no process yet, and the daemon starts them once the code server is up.
WITH_A_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
WHY = "The code server ended during this run, and ended the run with it. Start another run."


def end_interrupted_runs(instance: dg.DagsterInstance) -> int:
    """Mark every run that Dagster shows as running as failed or, if cancelling, as cancelled; return how many.

    Call it only while no code server is up, because no run can be running then. Runs with containers of their own can:
    they are left to Dagster's run monitoring.
    """
    if not _are_processes_of_the_code_server(instance):
        return 0
    runs = instance.get_runs(dg.RunsFilter(statuses=WITH_A_PROCESS))
    for run in runs:
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, WHY)
        else:
            instance.report_run_failed(run, WHY)
    return len(runs)


def _are_processes_of_the_code_server(instance: dg.DagsterInstance) -> bool:
    # not asked of the launcher itself, which would look for a cluster when it is made
    launcher = instance.get_ref().run_launcher_data
    return launcher is None or launcher.class_name == DefaultRunLauncher.__name__


def main(arguments: Sequence[str]) -> int:
    """End the interrupted runs of the instance that DAGSTER_HOME names; then become Python with `arguments`, if any."""
    try:
        settings = read_settings()
        check_database(settings)  # its refusal is clearer than Dagster's
        check_same_registry(settings, Registry(settings.model_path))
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    with dg.DagsterInstance.get() as instance:
        count = end_interrupted_runs(instance)
    print(f"Ended {count} interrupted runs.", flush=True)
    if arguments:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  # whoever starts this names it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
