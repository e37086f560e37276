"""`python -m leadscore_assets.commands.hold_control_plane ARGUMENTS`: run the database's control plane.

Python starts the code server with ARGUMENTS. The server and its runs are stopped when this process loses the lease.
Runs that an earlier code server left unfinished are ended first: while this process holds the lease, none of them can
be running.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import dagster as dg

from leadscore.control_plane import LEASE_SECONDS
from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from leadscore_assets.commands.end_interrupted_runs import end_interrupted_runs
from leadscore_assets.process_group import end_by_signals, run_until
from leadscore_assets.source.control_plane import RENEWAL_SECONDS, held


def main(arguments: Sequence[str]) -> int:
    """Hold the lease while Python runs with `arguments`; return its exit code, 1 when the lease cannot be taken."""
    end_by_signals()
    try:
        settings = read_settings()
        # the lease of a killed code server expires in the meantime
        with held(settings, wait_seconds=LEASE_SECONDS + RENEWAL_SECONDS) as lease:
            with dg.DagsterInstance.get() as instance:
                count = end_interrupted_runs(instance)
            print(f"{count} interrupted runs were ended.", flush=True)
            code = run_until(lambda: lease.is_lost, [sys.executable, *arguments])
            lease.raise_if_lost()
            return code
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
