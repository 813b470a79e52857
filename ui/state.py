"""What is chosen once and holds on every page; kept in the address, so that a page can be shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.client import ApiClient, ApiDownError, ApiRefusedError, JsonValue
from ui.wording import LEARNERS, not_shown, shown

Show = Callable[[ApiClient, "Choice"], None]
REMEMBERED = 60  # seconds
CHAMPION = "Champion"


@dataclass(frozen=True)
class Choice:
    """An experiment and one of its treatments."""

    model: dict[str, Any]  # as GET /models describes it
    arm: str

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.model["experiment"])

    def is_binary(self, outcome: str) -> bool:
        """Whether an outcome's means are shares, and its effects percentage points."""
        return bool(self.model["kinds"][outcome] == "binary")


def page(show: Show) -> None:
    """Show a page, or say why it cannot be shown and what to do."""
    client = ApiClient.from_environment()
    try:
        choice = _sidebar(client)
        if choice is None:
            st.info(
                "Nothing is published yet. Run `make run`, then reload.", icon=":material/hourglass:"
            )
            return
        show(client, choice)
    except ApiDownError as error:
        st.error(
            f"{error}\n\nStart it with `make serve`, or set `UPLIFT_API_URL` to where it runs.",
            icon=":material/cloud_off:",
        )
        st.button("Try again", icon=":material/refresh:")
    except ApiRefusedError as error:
        st.error(f"The API gave no answer: {error}", icon=":material/error:")


def remembered(client: ApiClient, choice: Choice, path: str, **query: JsonValue) -> Any:
    """A GET about an experiment whose answer changes with what is published alone; asked once a minute.

    Moving a slider lays the page out anew, and these answers are of many rows.
    """
    version = (choice.model["model_version"], choice.model["published_at"])
    return _remembered(client, client.url, version, path, query | {"experiment": choice.experiment})


@st.cache_data(ttl=REMEMBERED, max_entries=100, show_spinner=False)
def _remembered(
    _client: ApiClient, url: str, version: tuple[str, str], path: str, query: dict[str, JsonValue]
) -> Any:
    del url, version  # they tell answers apart; the client does not
    return _client.get(path, **query)


def gate_of(
    client: ApiClient, choice: Choice, arm: str, learner: str | None = None
) -> dict[str, Any] | None:
    """The word on a learner, or on the one that decides about the arm; None: none was given."""
    answer = remembered(client, choice, "/evidence", arm=arm, learner=learner)
    gate: dict[str, Any] | None = answer["gate"]
    return gate


def warn_of_gate(gate: Mapping[str, Any] | None) -> None:
    """Say loudly where acting on the scores is not shown to pay off, and quietly where it is."""
    if gate is None:
        return
    if gate["gate"] == "passed":
        st.caption(shown(gate))
    else:
        st.warning(not_shown(gate), icon=":material/warning:")
        st.page_link("app_pages/evidence.py", label="See the evidence", icon=":material/fact_check:")


def key_of(
    name: str,
    default: object,
    *,
    known: Sequence[object] = (),
    within: tuple[float, float] = (-math.inf, math.inf),
    scope: str = "",
) -> str:
    """The key of a widget that starts with what the address says, or was chosen before, or the default.

    The value goes through the session, not through the widget's own argument: a widget whose arguments
    change is another widget to Streamlit, and forgets what was chosen.
    """
    key = f"{name} widget {scope}"
    text = st.query_params.get(name)
    kept = st.session_state.get(name, default)
    start: object = kept if text is None else _read(text, default)
    value: object = st.session_state.get(key, start)
    if type(value) is not type(default) or (known and value not in known):
        value = default
    if isinstance(value, int | float) and not within[0] <= value <= within[1]:
        value = default
    # Set anew in every run: the same widget on another page is another one, which would start at its own
    # default, and may take other values.
    st.session_state[key] = value
    return key


def _read(text: str, like: object) -> object:
    """A value of the address, of the type of another; the text itself where it is none of that type."""
    try:
        if isinstance(like, int):
            return int(text)
        if isinstance(like, float):
            return float(text) if math.isfinite(float(text)) else text
    except ValueError:
        pass
    return text


def keep(name: str, value: object, default: object = None) -> None:
    """Remember a choice for the other pages, and in the address; what is the default is no choice."""
    if value == default:
        _forget(name)
        return
    st.session_state[name] = value
    st.query_params[name] = str(value)


def forget_when_changed(choice: str, value: str, *names: str) -> None:
    """Forget what was entered for one choice and means nothing for another, such as another's user."""
    before = f"{choice} before"
    if st.session_state.get(before, value) != value:
        for name in names:
            _forget(name)
    st.session_state[before] = value


def _forget(name: str) -> None:
    st.session_state.pop(name, None)
    st.query_params.pop(name, None)


def choose_learner() -> str | None:
    """Whose scores are looked at; None: the champion's."""
    learner = st.selectbox(
        "Model",
        [CHAMPION, *LEARNERS],
        key=key_of("learner", CHAMPION, known=[CHAMPION, *LEARNERS]),
        format_func=lambda name: LEARNERS.get(name, name),
        help="The champion decides every night.",
    )
    keep("learner", learner, CHAMPION)
    return None if learner == CHAMPION else learner


def choose_arm(experiment: str, arm: str) -> None:
    """Look at another treatment; for the callback of a button."""
    st.session_state[f"arm widget {experiment}"] = arm


def _sidebar(client: ApiClient) -> Choice | None:
    models = {model["experiment"]: model for model in client.get("/models")}
    if not models:
        return None
    with st.sidebar:
        names = list(models)
        name = st.selectbox(
            "Experiment",
            names,
            key=key_of("experiment", names[-1], known=names),
            format_func=lambda key: models[key]["title"],
        )
        forget_when_changed("experiment", name, "user", "outcome", "cost", "value", "users")
        model = models[name]
        arms = model["arms"]
        arm = st.selectbox("Treatment", arms, key=key_of("arm", model["arm"], known=arms, scope=name))
        st.caption(f"**{model['title']}.** {model['description']}")  # the select box cuts a long title
        published = model["published_at"][:16].replace("T", " ")
        st.caption(f"Model {model['model_version']}, published {published} UTC")
    forget_when_changed("arm", arm, "cost")
    keep("experiment", name)
    keep("arm", arm)
    return Choice(model, arm)
