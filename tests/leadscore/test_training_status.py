"""What the database accepts as a training's end is what the code calls so."""

from __future__ import annotations

import re
from typing import get_args

from leadscore.settings import PROJECT_ROOT
from leadscore.training_status import TrainingStatus


def test_the_table_accepts_the_same_words() -> None:
    tables = (PROJECT_ROOT / "leadscore_assets" / "trainings" / "tables.sql").read_text()
    [accepted] = re.findall(r"CHECK \(status IN \((.*?)\)\)", tables)
    assert re.findall(r"'(\w+)'", accepted) == list(get_args(TrainingStatus))
