"""`python -m leadscore_assets.commands.rebuild ORG VERSION`: train a version again, and compare its files.

It exits with 0 when every file is the same, byte for byte, with 1 when a file differs, and with 2 when it cannot
rebuild.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from leadscore.errors import LeadscoreError
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets.resources import Crm
from leadscore_assets.training.reproduce import Changed, Rebuild, rebuild

SAME, DIFFERENT, NOT_TRIED = 0, 1, 2
SHOWN_DIGITS = 16


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Rebuild the version that `arguments` (the process's own unless given) name; return the exit code."""
    parser = argparse.ArgumentParser(prog="make rebuild", description="Train a version again and compare its files.")
    parser.add_argument("org", help="the org's id")
    parser.add_argument("version", help="the version's id, 14 digits")
    chosen = parser.parse_args(arguments)
    try:
        settings = settings or read_settings()
        repeated = rebuild(Registry(settings.model_path), chosen.org, chosen.version, Crm(settings).conversion_records)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return NOT_TRIED
    print("\n".join(lines(repeated)))
    return SAME if repeated.is_identical else DIFFERENT


def lines(repeated: Rebuild) -> Iterator[str]:
    """Yield the lines of the result: where the rows came from, which files differ, and the verdict."""
    yield f"Version {repeated.version} of {repeated.org_id}, rebuilt from {repeated.rows_from}"
    yield f"  {repeated.crm}"
    for name in repeated.files:
        differs = any(changed.name == name for changed in repeated.changed_files)
        yield f"  {'differs  ' if differs else 'identical'}  {name}"
    if repeated.inputs:
        yield "Inputs that differ from the manifest's:"
        yield from (_line(changed) for changed in repeated.inputs)
    yield _verdict(repeated)


def _line(changed: Changed) -> str:
    return f"  {changed.name}: {changed.recorded[:SHOWN_DIGITS]} → {changed.now[:SHOWN_DIGITS]}"


def _verdict(repeated: Rebuild) -> str:
    if repeated.is_identical:
        return "The version is the same, byte for byte."
    if repeated.inputs:
        return "The version is not the same: the inputs above differ. With the recorded ones, rebuild it again."
    return "The version is not the same, but all recorded inputs are. Compare processor and operating system."


if __name__ == "__main__":
    sys.exit(main())
