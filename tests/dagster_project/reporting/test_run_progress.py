"""What a run shows on the console."""

# No postponed annotations here: Dagster reads those of an op as they stand.
import io
import re
import uuid

import dagster as dg
import pytest
from rich.console import Console

from dagster_project.reporting import run_progress
from dagster_project.reporting.run_progress import RunProgress
from uplift_core.progress import ProgressLog


@dg.op
def simulated__raw(context: dg.OpExecutionContext) -> None:
    context.log.info("")
    context.log.info("no markup: [/users]")
    context.log.info("120 users read")


@dg.op
def simulated__models() -> None:
    raise dg.Failure("no such arm", allow_retries=False)


@dg.graph
def steps() -> None:
    simulated__raw()
    simulated__models()


def shown(*, verbose: bool, terminal: bool) -> str:
    out = io.StringIO()
    progress = RunProgress(Console(file=out, force_terminal=terminal, width=100), verbose=verbose)
    with dg.DagsterInstance.ephemeral() as instance, progress.shown() as listener:
        instance.add_event_listener(run_id := str(uuid.uuid4()), listener)
        steps.to_job().execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return re.sub(r"\x1b\[[\d;?]*\w", "", out.getvalue())  # without colours and the moves of the cursor


@pytest.mark.parametrize("terminal", [False, True])
def test_each_step_has_a_line_with_its_time(terminal: bool) -> None:
    text = shown(verbose=False, terminal=terminal)
    lines = [line.split() for line in text.splitlines() if " s" in line]
    assert any(line[-3] == "raw" and line[-1] == "s" for line in lines), text
    assert any(line[-4] == "models" and line[-1] == "failed" for line in lines if len(line) > 3), text


def test_messages_are_printed_if_asked_for() -> None:
    assert "120 users read" not in shown(verbose=False, terminal=False)
    assert "    120 users read\n" in shown(verbose=True, terminal=False)


def test_progress_is_logged_at_most_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.5, 1.9, 2.1, 2.1, 3.0, 5.0, 5.0])
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: next(now))
    log: list[str] = []
    done = ProgressLog(log.append, "mens: fits done", 5)
    for _ in range(5):
        done()
    assert log == ["mens: fits done: 3 of 5", "mens: fits done: 5 of 5"]
