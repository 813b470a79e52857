"""Users are kept out by the ids that people know them by, also while a run has the warehouse open."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.commands import suppress as command
from dagster_project.delivery.suppressing import read_file
from tests.dagster_project.delivery.shop import ID, shop_of
from tests.support import ID_KEY, TESTS_KEY, opened, run_unchecked
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Register
from uplift_core.errors import UpliftError

TODAY = datetime.now(UTC).date()
BECAUSE = ("--reason", "unsubscribed")


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that has published users of a file with text ids."""
    home = Home(tmp_path / "home")
    shutil.copytree(made / "uplift" / "published", home.published)
    shutil.copy(ID_KEY, home.id_key)
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(made / "own"))
    return home


def kept_out(home: Home, *scopes: str) -> set[int]:
    return {entry.user_id for entry in Register(home.register).keeping_out(scopes, TODAY)}


def test_a_user_is_kept_out_by_either_id_and_let_in_again(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    number = TESTS_KEY.number(ID)
    for user in (ID, str(number)):
        assert command.main([user, "--experiment", "shop", *BECAUSE, "--by", "Ann"]) == 0
        assert kept_out(home, "shop") == {number}
        assert command.main([user, "--experiment", "shop", "--lift", "--reason", "wrote again"]) == 0
        assert kept_out(home, "shop") == set()
    capsys.readouterr()
    assert command.main(["--list", "--experiment", "shop", ID]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said] == ["suppress", "lift"] * 2
    assert f"user_id {number} of shop: unsubscribed; by Ann, {TODAY}" in said[0]
    assert all(line.endswith(" UTC") for line in said)
    assert command.main(["--list", "--json", "--experiment", "shop", ID]) == 0
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert [entry["action"] for entry in entries] == ["suppress", "lift"] * 2
    assert {entry["user_id"] for entry in entries} == {number}
    for path in home.root.glob("register.sqlite*"):
        assert ID.encode() not in path.read_bytes()


def test_nobody_waits_for_the_run_that_has_the_warehouse_open(home: Home, made: Path) -> None:
    shutil.copy(made / "uplift" / "warehouse.duckdb", home.warehouse)
    with opened(home) as db:
        db.rows("create table main.held as select 1 as one")  # a transaction that is going on
        assert command.main([ID, "--experiment", "shop", *BECAUSE]) == 0
    assert kept_out(home, "shop") == {TESTS_KEY.number(ID)}


def test_who_is_unknown_is_refused_or_entered_for_later(home: Home) -> None:
    named = ["nobody", "--experiment", "shop", *BECAUSE]
    with pytest.raises(UpliftError, match="'nobody' is the 'customer' or user_id of no published user"):
        command.main(named)
    assert not home.register.exists()
    assert command.main([*named, "--unknown-too"]) == 0
    assert kept_out(home, "shop") == {TESTS_KEY.number("nobody")}
    with pytest.raises(UpliftError, match="'shops' is no experiment"):
        command.main([ID, "--experiment", "shops", *BECAUSE])
    with pytest.raises(UpliftError, match=r"reason = '': must be a text"):
        command.main([ID, "--experiment", "shop"])
    for until, words in (("2020-01-31", "that day is over"), ("31.1.2030", "must be a day, YYYY-MM-DD")):
        with pytest.raises(UpliftError, match=words):
            command.main([ID, "--experiment", "shop", *BECAUSE, "--until", until])


def test_for_all_means_experiments_that_know_ids(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row numbers are told by name; the number of a row means somebody else elsewhere."""
    assert command.main([ID, *BECAUSE, "--until", str(TODAY)]) == 0
    assert kept_out(home, ALL) == {TESTS_KEY.number(ID)}
    with pytest.raises(UpliftError, match="criteo, hillstrom, simulated know rows alone"):
        command.main(["17", *BECAUSE])
    with pytest.raises(UpliftError, match="users are rows of the file, from 1 to the last"):
        command.main(["17", "--experiment", "simulated", *BECAUSE, "--unknown-too"])  # not published
    with pytest.raises(UpliftError, match="what does is an entry for all experiments and"):
        command.main([ID, "--experiment", "shop", "--lift", *BECAUSE])
    assert command.main([ID, "--lift", *BECAUSE]) == 0
    assert kept_out(home, ALL) == set()
    with pytest.raises(UpliftError, match=r"what does is rows of decisions\.suppressions for shop"):
        command.main([ID, "--lift", *BECAUSE])
    assert command.main(["17", *BECAUSE, "--unknown-too"]) == 0  # a number, or a text in another file
    assert kept_out(home, ALL) == {17, TESTS_KEY.number("17")}
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", "")
    with pytest.raises(UpliftError, match=r"criteo, hillstrom, simulated: .* name one experiment"):
        command.main([ID, *BECAUSE])


def test_a_file_is_entered_at_once_but_for_whom_nobody_knows(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, later = tmp_path / "gone.csv", TODAY + timedelta(days=7)
    rows = [f"customer-{i:06},,{later if i % 2 else ''}" for i in range(500)]
    file.write_text("\n".join(["customer,reason,until", *rows, "stranger,moved,"]))
    assert command.main(["--file", str(file), "--experiment", "shop", *BECAUSE]) == 1
    said = capsys.readouterr().out
    assert "500 kept out of shop, from now on" in said
    assert "left out: shop: 'stranger' is the 'customer' or user_id of no published user" in said
    entries = Register(home.register).keeping_out(["shop"], TODAY)
    assert {entry.user_id for entry in entries} == {
        TESTS_KEY.number(f"customer-{i:06}") for i in range(500)
    }
    assert sorted({str(entry.until) for entry in entries}) == sorted({"None", str(later)})
    assert len({entry.made_at for entry in entries}) == 1
    assert command.main(["--file", str(file), "--experiment", "shop", "--lift", *BECAUSE]) == 1
    assert kept_out(home, "shop") == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nAnn\n", "has no column 'customer' or 'user_id' or 'user'"),
        ("customer,reason\nK1,a\n,b\n", "line 3 has no 'customer'"),
        ("user,until\nK1,soon\n", "must be a day"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "gone.csv"
    file.write_text(text)
    with pytest.raises(UpliftError, match=words):
        read_file(file, ["customer"], "left", None)


def test_the_night_treats_none_of_them_and_publishes_who_said_so(
    home: Home, made: Path, snapshot
) -> None:
    """The whole way: from the command to the list, its export and the snapshot."""
    shutil.copytree(made / "uplift", home.root, dirs_exist_ok=True)
    with opened(home) as db:
        treated = db.rows(
            "select customer, user_id from decisions.treat_list inner join raw.shop using (user_id) "
            "where treated order by rank limit 3"
        )
    (one, first), (two, second), (three, third) = treated
    assert command.main([one, "--experiment", "shop", *BECAUSE]) == 0
    assert command.main([two, *BECAUSE]) == 0
    assert command.main([three, "--experiment", "shop", *BECAUSE]) == 0
    assert command.main([three, "--experiment", "shop", "--lift", "--reason", "wrote again"]) == 0
    run_unchecked(shop_of(made), home.root, ["treat_list", "export", "published"])
    con = snapshot(home.root)
    rows = con.sql("select user_id, treated, reason from decisions.treat_list").fetchall()
    said = {user: (treated, reason) for user, treated, reason in rows}
    assert said[first] == said[second] == (False, "unsubscribed")
    assert said[third][0] is True
    assert con.sql("select user_id, for_all from decisions.registered order by for_all").fetchall() == [
        (first, False),
        (second, True),
    ]
    (manifest,) = home.exports.rglob("manifest.json")
    files = [file["path"] for file in json.loads(manifest.read_bytes())["files"]]
    text = (manifest.parent / next(path for path in files if "treat.csv" in path)).read_text()
    assert [own in text for own in (one, two, three)] == [False, False, True]
    # A register that is gone is missed: its people would be treated again. So is one that is too old.
    home.register.unlink()
    for entries in (0, 1):
        with pytest.raises(dg.Failure, match=f"holds entries up to {entries}, but .* obey entry 2"):
            run_unchecked(shop_of(made), home.root, ["treat_list"])
        assert command.main([three, "--experiment", "shop", *BECAUSE]) == 0
    run_unchecked(shop_of(made), home.root, ["treat_list"])
