"""The options of ``uplift list``."""

from __future__ import annotations

import pytest

from dagster_project.commands.make_list import parser


def test_quotas_are_given_by_arm() -> None:
    options = ["hillstrom", "--arm", "best", "--max-users", "womens=200", "--max-users", "mens=9"]
    chosen = parser().parse_args([*options, "--max-money", "mens=12.5"])
    assert dict(chosen.max_users) == {"womens": 200, "mens": 9}
    assert dict(chosen.max_money) == {"mens": 12.5}


@pytest.mark.parametrize("text", ["womens", "womens=", "womens=two"])
def test_a_quota_that_is_no_number_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["hillstrom", "--max-users", text])
    assert f"'{text}': write ARM=LIMIT, such as call=200" in capsys.readouterr().err
