"""`python -m serving`: the HTTP server on HOST:PORT, until SIGTERM or Ctrl-C. Settings come from the environment."""

from __future__ import annotations

import argparse
import logging
import sys

from leadscore import VERSION
from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from serving.server.startup import prepare
from serving.server.supervisor import serve
from serving.shared_folder import private_folder
from serving.telemetry.json_logging import flush_lines, write_json_lines

_log = logging.getLogger("serving")


def main() -> int:
    """Serve until a signal to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--version", action="version", version=f"leadscore {VERSION}")
    parser.parse_args()
    try:
        settings = read_settings()
        write_json_lines(settings.log_level)
        prepare(settings)
        serve("serving.app:create_app", settings, private_folder())
    except LeadscoreError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    _log.info("stopped")
    # granian has taken the handler off the list of those that Python flushes in the end
    flush_lines()
    return 0


if __name__ == "__main__":
    sys.exit(main())
