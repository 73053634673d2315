"""PromQL in Prometheus' own test language: every function and operator."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.promql_script import Player, cases

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_a_script_answers_as_it_says(path: Path) -> None:
    player = Player()
    wrong = []
    count = 0
    for series, case in cases(path):
        count += 1
        difference = await player.play(series, case)
        if difference is not None:
            wrong.append(f"{path.name}:{case.line} {case.expr}\n  {difference}")
    assert not wrong, "\n".join(wrong)
    assert count
