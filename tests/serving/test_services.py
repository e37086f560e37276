"""The server's parts, and how they share its threads."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from leadscore.errors import TooManyTrainings
from serving.services import build_services


@pytest.mark.parametrize("server_threads", [2, 3, 4, 5, 8])
def test_scoring_keeps_a_thread_whatever_trainings_take(settings, shelf, server_threads):
    slot = build_services(replace(settings, server_threads=server_threads)).trainings.slot
    with ExitStack() as taken:
        for _ in range(server_threads - 1):
            with suppress(TooManyTrainings):
                taken.enter_context(slot())
        with pytest.raises(TooManyTrainings):
            taken.enter_context(slot())
