"""`python -m serving` says in a line why it cannot start."""

from __future__ import annotations

import pytest


def test_a_port_that_is_taken_is_said_so(live, start, tmp_path):
    process = start(PORT=live.port, MODEL_PATH=tmp_path / "models")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "PORT" in err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PORT": "x"}, "PORT"),
        ({"SERVER_WORKERS": 0}, "SERVER_WORKERS"),
        ({"HOST": "203.0.113.1"}, "HOST"),
        ({"MODEL_PATH": "/dev/null/models"}, "MODEL_PATH"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_a_line(start, free_port, tmp_path, environment, said):
    process = start(**{"PORT": free_port(), "MODEL_PATH": tmp_path / "models", **environment})
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said in err
    assert "Traceback" not in err
