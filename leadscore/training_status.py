"""The ways in which a training of an org ends, however it began."""

from __future__ import annotations

from typing import Literal

TrainingStatus = Literal["activated", "held", "insufficient_data", "failed"]
