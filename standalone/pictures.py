"""Takes the pictures of the documents, `docs/pictures/*.png`, from a demo that runs: `make run`, then `make pictures`.

Each is a page of the HTTP server or of Dagster in headless Chromium, which must be installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import urllib3

from leadscore.errors import CannotRun, LeadscoreError
from leadscore.settings import PROJECT_ROOT, Settings, read_settings, with_query
from standalone.postgres import HOST

FOLDER = PROJECT_ROOT / "docs" / "pictures"
ORG = "default"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# the sandbox needs rights that a container lacks, and the pages are our own
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
# Dagster's pages draw themselves from several answers
DRAWN_WITHIN_MILLISECONDS = 20_000
TIMEOUT_SECONDS = 180
ANSWER_SECONDS = 30.0
OK = 200


class Picture(NamedTuple):
    """A page's address, the size of its window in CSS pixels, and by which factor it is drawn smaller."""

    name: str
    address: str
    width: int
    height: int
    scale: float = 1.0


def pictures(settings: Settings) -> tuple[Picture, ...]:
    """Return the pictures of the system that runs with these settings."""
    ours, dagster = settings.local_address, f"http://{HOST}:{settings.dagster_port}"
    evaluation = with_query(f"{dagster}/assets/evaluation", view="partitions", partition=ORG)
    return (
        # on a narrower page Dagster leaves out what the assets have
        Picture("lineage", f"{dagster}/asset-groups", 3_000, 700, 0.5),
        Picture("evaluation", evaluation, 1_400, 1_000, 0.75),
        Picture("call-list", f"{ours}/orgs/{ORG}", 1_200, 1_000, 0.8),
        Picture("report", with_query(f"{ours}/api/v1/model/report", org_id=ORG), 1_200, 1_000, 0.8),
    )


def take(program: str, picture: Picture, folder: Path) -> Path:
    """Write the picture into the folder, and return its file. Raises CannotRun when that fails."""
    _check_answer(picture.address)
    file = folder / f"{picture.name}.png"
    with tempfile.TemporaryDirectory(prefix="leadscore-") as profile:
        command = [
            *(program, *OPTIONS, f"--user-data-dir={profile}", f"--virtual-time-budget={DRAWN_WITHIN_MILLISECONDS}"),
            f"--window-size={picture.width},{picture.height}",
            f"--force-device-scale-factor={picture.scale:g}",
            *(f"--screenshot={file}", picture.address),
        ]
        try:
            subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=True)
        except subprocess.SubprocessError as error:
            raise CannotRun(f"{program} took no picture of {picture.address}: {error}. Try again.") from None
    return file


def _check_answer(address: str) -> None:
    """Raise CannotRun unless there is a page: the browser would take a picture of its own complaint."""
    try:
        status = urllib3.request(
            "GET", address, retries=False, timeout=ANSWER_SECONDS, headers={"Accept": "text/html"}
        ).status
    except urllib3.exceptions.HTTPError as error:
        raise CannotRun(f"{address} does not answer: {error}. Start the demo by `make run`, and wait for it.") from None
    if status != OK:
        raise CannotRun(f"{address} answers {status}, not 200. Take the pictures of a demo whose orgs are trained.")


def browser() -> str:
    """Return the program of this machine's browser. Raises CannotRun without one."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise CannotRun(f"The pictures need Chromium, and none of {', '.join(PROGRAMS)} is installed. Install one.")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Take all the pictures, or those that are named; return the exit code."""
    named = sys.argv[1:] if arguments is None else arguments
    try:
        program = browser()
        for picture in pictures(read_settings()):
            if not named or picture.name in named:
                file = take(program, picture, FOLDER)
                print(f"{file.relative_to(PROJECT_ROOT)}: {file.stat().st_size / 1_000:.0f} kB")
    except LeadscoreError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
