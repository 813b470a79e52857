from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ui
from tests.serve.support import api_of, copy_home
from tests.ui.support import ANSWER, FakeApi
from ui.wording import points
from uplift_core.experiment import load_experiment

APP = Path(ui.__file__).parent / "app.py"


def run_app() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception
    return app


def widget(app: AppTest, kind: str, label: str) -> object:
    (found,) = [w for w in app.get(kind) if w.label.startswith(label)]
    return found


def test_it_opens_with_an_answer(api: FakeApi) -> None:
    app = run_app()
    assert app.title[0].value == "Score a user"
    assert "Treat at a budget of 30 %" in app.success[0].value
    assert "5.87 percentage points" in app.success[0].value
    assert {m.label: m.value for m in app.metric} == {
        "Uplift": "+5.87 pp",
        "Threshold": "+5.00 pp",
        "Without treatment": "15.7 %",
    }
    assert ANSWER["model_version"] in app.caption[0].value
    assert not app.error


def test_it_sends_what_the_form_and_the_controls_say(api: FakeApi) -> None:
    app = run_app()
    widget(app, "slider", "Months").set_value(11)
    widget(app, "number_input", "Spent").set_value(99.5)
    widget(app, "selectbox", "Bought in").set_value("Men's goods")
    widget(app, "selectbox", "Bought by").set_value("Web and phone")
    widget(app, "selectbox", "Lives in").set_value("Suburb")
    widget(app, "selectbox", "Customer since").set_value("The past year")
    widget(app, "slider", "Budget").set_value(5)
    widget(app, "selectbox", "Treatment").set_value("mens")
    widget(app, "selectbox", "Model").set_value("dr")
    widget(app, "button", "Score").click().run()
    assert not app.exception
    assert api.asked[-1] == {
        "path": "/score",
        "experiment": "hillstrom",
        "attributes": {
            "recency": 11,
            "history": 99.5,
            "mens": 1,
            "womens": 0,
            "newbie": 1,
            "zip_code": "Surburban",
            "channel": "Multichannel",
        },
        "budget": 0.05,
        "arm": "mens",
        "learner": "dr",
    }


def test_it_asks_for_the_published_learner_unless_told(api: FakeApi) -> None:
    run_app()
    assert api.asked[-1]["learner"] is None


def test_the_form_knows_the_experiment(api: FakeApi) -> None:
    folder = APP.parent.parent / "sql" / "experiments" / "hillstrom"
    experiment = load_experiment(folder)
    app = run_app()
    assert widget(app, "slider", "Budget").value == 100 * experiment.defaults.budget
    treatment = widget(app, "selectbox", "Treatment")
    assert treatment.value == experiment.defaults.arm
    assert len(treatment.options) == len(experiment.treatments)


def test_the_service_understands_what_the_page_sends(
    api: FakeApi, hillstrom_home: Path, tmp_path: Path
) -> None:
    run_app()
    body = {key: value for key, value in api.asked[-1].items() if key != "path"}
    with api_of(copy_home(hillstrom_home, tmp_path / "home")) as service:
        answer = service.post("/score", json=body)
    assert answer.status_code == 200, answer.text
    api.body = answer.json()
    assert run_app().metric[0].value == points(answer.json()["score"])


def test_a_user_not_to_treat_is_no_success(api: FakeApi) -> None:
    api.body = ANSWER | {"decision": "no_treat", "threshold": None, "budget": 0.0}
    app = run_app()
    assert "Don't treat" in app.warning[0].value
    assert not app.success
    assert app.metric[1].value == "none"


def test_without_the_api_it_says_what_to_start(closed_url: str) -> None:
    app = run_app()
    assert closed_url in app.error[0].value
    assert "make serve" in app.error[0].value
    assert not app.metric


@pytest.mark.parametrize("status", [422, 503])
def test_a_problem_is_shown(api: FakeApi, status: int) -> None:
    api.status, api.body = status, {"detail": "nothing is published yet; run `make run`"}
    app = run_app()
    assert "nothing is published yet; run `make run`" in app.error[0].value
    assert not app.metric
