"""`python -m leadscore_assets.commands.join_control_plane ARGUMENTS`: run a part of the database's control plane.

Python starts the part, such as Dagster's daemon, with ARGUMENTS. It does not start, or is stopped, while the database
has a control plane with another registry: two daemons on one database would launch each other's runs, and fail them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from leadscore_assets.process_group import end_by_signals, run_until
from leadscore_assets.source.control_plane import joined


def main(arguments: Sequence[str]) -> int:
    """Run Python with `arguments` for the control plane; return its exit code, 1 when that has another registry."""
    end_by_signals()
    try:
        with joined(read_settings()) as membership:
            code = run_until(lambda: membership.is_lost, [sys.executable, *arguments])
            membership.raise_if_lost()
            return code
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
