"""Tell of runs: which experiment stopped and where, which check fires, which list is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import dagster as dg

from dagster_project.decisions.published_lists import newest_dates
from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.notices import Notice, Notices

TOLD = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}
GATE = "GateError"  # its sentence is about all users, and names none
SEE = "The run's page and its log say why; a message names no user."
KINDS = {"measure": "the measurement", "tune": "the tuning"}  # of jobs by the first word of their names


@dataclass(frozen=True)
class RunNotices:
    """Tells of runs as their jobs end.

    Attributes:
        notices: remembers and sends.
        link: the address of the Dagster UI; empty: messages have no link.
        due: when today's lists must be published, in UTC; None: they are never late.
    """

    notices: Notices
    link: str = ""
    due: time | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> RunNotices:
        """Build them from the settings."""
        notices = Notices(Home(settings.home.absolute()), settings.notify.get_secret_value())
        return cls(notices, settings.notify_link.rstrip("/"), settings.list_due)

    def tell(self, instance: dg.DagsterInstance, run_id: str) -> None:
        """Tell of a run that has ended, if there is somebody to tell and something new."""
        run = instance.get_run_by_id(run_id) if self.notices else None
        if run is None:
            return
        logged = instance.all_logs(run_id, of_type=TOLD)
        events = [entry.dagster_event for entry in logged if entry.dagster_event]
        where = f"\n{self.link}/runs/{run_id}" if self.link else f"\nRun {run_id} of {run.job_name}."
        for notice in (*_of_experiments(run, events, where), *_of_checks(events, where)):
            self.notices.tell(notice)


def run_sensors(notices: RunNotices) -> list[dg.SensorDefinition]:
    """Define the sensors that tell of runs of the UI, schedules and sensors; none without receivers."""
    if not notices.notices:
        return []

    def sensor(name: str, status: dg.DagsterRunStatus) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            name=name,
            run_status=status,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=30,
            description="Tells the receivers of UPLIFT_NOTIFY, once for each change of state.",
        )
        def tell(context: dg.RunStatusSensorContext) -> None:
            notices.tell(context.instance, context.dagster_run.run_id)

        return tell

    return [
        sensor("tell_of_stopped_runs", dg.DagsterRunStatus.FAILURE),
        sensor("tell_of_finished_runs", dg.DagsterRunStatus.SUCCESS),
        *([_sensor_of_late_lists(notices.notices, notices.due)] if notices.due else ()),
    ]


def _sensor_of_late_lists(notices: Notices, due: time) -> dg.SensorDefinition:
    @dg.sensor(
        name="tell_of_late_lists",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description=f"Tells, once a day, which experiments have no list of today at {due:%H:%M} UTC.",
    )
    def tell(context: dg.SensorEvaluationContext) -> dg.SkipReason:  # noqa: ARG001 - Dagster wants it
        late = [*late_lists(newest_dates(notices.home), due, datetime.now(UTC))]
        for notice in late:
            notices.tell(notice)
        return dg.SkipReason(f"{len(late)} experiments have no list of today")

    return tell


def late_lists(newest: Mapping[str, date], due: time, now: datetime) -> Iterator[Notice]:
    """Yield a notice of each experiment whose lists of today are due, and not published.

    Args:
        newest: the date of each experiment's newest published lists.
        due: the time in UTC by which they must be published.
        now: the moment, in UTC.
    """
    today = now.date()
    for name, published in sorted(newest.items()):
        if now.time() >= due and published < today:
            text = f"Due at {due:%H:%M} UTC; the newest are of {published}. Run `uplift list {name}`."
            title = f"uplift: {name}'s lists of {today} are late"
            yield Notice(f"lists/{name}", f"late {today}", title, text)


def _of_experiments(
    run: dg.DagsterRun, events: Sequence[dg.DagsterEvent], where: str
) -> Iterator[Notice]:
    """Yield how each of a run's experiments ended, and the lists that it published."""
    stopped = dict(reversed([*_failures(events)]))  # the first one of each experiment
    succeeded = {
        _experiment_of(event) for event in events if event.event_type == dg.DagsterEventType.STEP_SUCCESS
    }
    kind = KINDS.get(run.job_name.partition("_")[0], "the run")
    failed = run.status == dg.DagsterRunStatus.FAILURE
    if failed and not stopped:
        name = run.tags.get("experiment") or run.job_name.partition("_")[2]
        stopped[name] = "an unknown step", "It was stopped from outside."
    for name, (layer, reason) in stopped.items():
        text = f"{reason}\nNothing new was published; what was published before stays.{where}"
        title = f"uplift: {kind} of {name} stopped at {layer}"
        yield Notice(f"{kind}/{name}", f"stopped at {layer}", title, text)
    for name in sorted(succeeded - stopped.keys()):
        if not failed and name != "proof":
            title = f"uplift: {kind} of {name} works again"
            yield Notice(f"{kind}/{name}", "works", title, where.strip(), is_news_at_first=False)
    for name, night in _published_lists(events).items():
        title = f"uplift: {name}'s lists of {night} are published"
        yield Notice(f"lists/{name}", f"published {night}", title, where.strip())


def _failures(events: Sequence[dg.DagsterEvent]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the experiment, the layer and the reason of each failure, in the order of time."""
    for event in events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            layer = (event.step_key or "").rpartition("__")[2]
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            is_gate = told is not None and GATE in _causes(data.error)
            yield _experiment_of(event), (layer, str(told) if is_gate else SEE)


def _causes(error: object) -> set[str]:
    """Return the names of an error's class and of its causes."""
    names = set()
    while error is not None:
        names.add(getattr(error, "cls_name", None))
        error = getattr(error, "cause", None)
    return {name for name in names if name}


def _published_lists(events: Sequence[dg.DagsterEvent]) -> dict[str, str]:
    """Return the newest date of the lists of each experiment that a run both made and published."""
    dates: dict[str, str] = {}
    published = set()
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
            name, layer = event.asset_key.path[0], event.asset_key.path[-1]
            if layer == "treat_list" and event.partition:
                dates[name] = max(dates.get(name, ""), event.partition)
            elif layer == "published":
                published.add(name)
    return {name: date for name, date in dates.items() if name in published}


def _of_checks(events: Sequence[dg.DagsterEvent], where: str) -> Iterator[Notice]:
    """Yield the state of each check that warns without stopping a run."""
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.severity == dg.AssetCheckSeverity.WARN:
                name = f"{check.asset_key.to_user_string()}, check {check.check_name}"
                state, title = ("passes", f"uplift: {name} passes again")
                if not check.passed:
                    state, title = ("warns", f"uplift: {name} warns")
                text = f"{SEE}{where}" if state == "warns" else where.strip()
                yield Notice(f"check/{name}", state, title, text, is_news_at_first=not check.passed)


def _experiment_of(event: dg.DagsterEvent) -> str:
    return (event.step_key or "").rpartition("__")[0]
