"""Refuses commits whose subject is too long: `python .ci/commit_subjects.py`, which `make check` runs.

It looks at the commits since the rule was made. A shallow clone has fewer of them; an unpacked archive has none.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

LONGEST = 65
# the last commit before the rule
BEFORE = "6b622fa547ec629b0ca14aed7bfe8d037e95eadb"


def subjects(project: Path, before: str) -> list[tuple[str, str]]:
    """Return the short hash and the subject of each commit that `before` does not hold."""
    # a shallow clone may lack that commit: all that it has then are newer
    command = ["git", "log", "--no-merges", "--ignore-missing", "--format=%h %s", "HEAD", f"^{before}"]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if listed.returncode:
        sys.exit(f"Commit subjects cannot be checked: {listed.stderr.strip()}")
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in listed.stdout.splitlines()]


def main(project: Path, before: str = BEFORE) -> int:
    """Print what is wrong; return the exit code."""
    if not (project / ".git").exists() or not shutil.which("git"):
        print("Commit subjects: not checked, because this is not a git clone or git is not installed.")
        return 0
    checked = subjects(project, before)
    too_long = [(commit, subject) for commit, subject in checked if len(subject) > LONGEST]
    for commit, subject in too_long:
        print(f"{commit}: the subject has {len(subject)} characters, of which {LONGEST} are allowed: {subject}")
    if too_long:
        print("Shorten them with `git rebase --interactive` (reword); details belong into the body.")
    else:
        print(f"Commit subjects: {len(checked)} checked.")
    return int(bool(too_long))


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
