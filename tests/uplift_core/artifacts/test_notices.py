"""One message for each change of state, whatever the receivers do."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest

from tests.receiver import receiver
from uplift_core.artifacts import notice_sender
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.notices import Notice, Notices


def notice(state: str, *, first: bool = True) -> Notice:
    return Notice("run/shop", state, f"shop {state}", "What to do.", is_news_at_first=first)


def test_each_change_of_state_is_told_once_by_all_processes_together(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with receiver() as there:
        told = [
            Notices(home, there.address).tell(notice(state, first=state != "works"))
            for state in ("works", "stopped", "stopped", "works", "works", "stopped")
        ]
        assert told == [False, True, False, True, False, True]
        assert sorted(there.until(3)) == ["shop stopped", "shop stopped", "shop works"]
        assert there.texts == ["What to do."] * 3


def test_without_a_receiver_nothing_is_remembered(tmp_path: Path) -> None:
    assert not Notices(Home(tmp_path), " \n").tell(notice("stopped"))
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    with receiver() as there:
        notices = Notices(Home(tmp_path / "missing"), there.address)
        assert [notices.tell(notice(s)) for s in ("stopped", "stopped", "works")] == [True, False, True]
        there.until(2)


def test_a_receiver_that_hangs_delays_nobody(tmp_path: Path) -> None:
    end = threading.Event()
    with receiver(answers=lambda: end.wait(60)) as there:
        started = time.monotonic()
        assert Notices(Home(tmp_path), there.address).tell(notice("stopped"))
        assert time.monotonic() - started < 1
        there.until(1)
        end.set()


def test_who_does_not_take_a_message_is_logged_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_sender.send, "__kwdefaults__", {"pauses": (0.0, 0.0)})
    with receiver(status=500) as broken, receiver() as well:
        message = {
            "addresses": f"{broken.address} {well.address} nonsense://{'x' * 9}",
            "log": str(tmp_path / "notices.log"),
            "title": "shop stopped",
            "text": "What to do.",
        }
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(message)))
        assert notice_sender.main() == 1
        assert broken.titles == ["shop stopped"] * 2
        assert well.titles == ["shop stopped"]
    lines = (tmp_path / "notices.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "json did not take: shop stopped",
        "nonsense did not take: shop stopped",
    ]
