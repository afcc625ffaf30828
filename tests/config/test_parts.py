"""Options that every part of a kind has."""

import pytest

from xalign.config.parts import ObjectiveConfig, ScheduleConfig, ScheduleKind


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"kind": "linear"}, [0, 0.25, 0.5, 0.75, 1]),
        ({"kind": "linear", "start": 1.0, "end": 0.0, "over": 0.6}, [1, 0.5, 0, 0, 0]),
        ({"kind": "linear", "start": 2.0, "end": 3.0, "over": 0.2}, [2, 3, 3, 3, 3]),
        ({"kind": "alternate", "turn": 1}, [0, 1, 0, 1, 0]),
        ({"kind": "alternate", "turn": 0, "every": 2}, [1, 1, 0, 0, 1]),
        ({"kind": "alternate", "turn": 2, "turns": 3}, [0, 0, 1, 0, 0]),
    ],
)
def test_weights_over_five_steps_by_hand(options: dict[str, object], factors: list[float]) -> None:
    kind = ScheduleKind(str(options.pop("kind", "constant")))
    schedule = ScheduleConfig(kind=kind, **options)  # type: ignore[arg-type]
    config = ObjectiveConfig(kind="any", weight=0.5, schedule=schedule)
    assert [config.weight_at(step, 5) for step in range(5)] == pytest.approx([0.5 * f for f in factors])
