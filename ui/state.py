"""Choices that apply to every page. The address holds them, so that a page can be shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.client import ApiClient, ApiDownError, ApiRefusedError, JsonValue
from ui.wording import LEARNERS, not_shown, pinned, shown

Show = Callable[[ApiClient, "Choice"], None]
CACHE_SECONDS = 60
CHAMPION = "Champion"


@dataclass(frozen=True)
class Choice:
    """The chosen experiment and treatment."""

    model: dict[str, Any]  # as GET /models describes it
    arm: str

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.model["experiment"])

    def is_binary(self, outcome: str) -> bool:
        """Whether an outcome is binary: its means are shares, its effects percentage points."""
        return bool(self.model["kinds"][outcome] == "binary")


def page(show: Show) -> None:
    """Show a page, or say why it cannot be shown and what to do about it."""
    client = ApiClient.from_environment()
    try:
        choice = _sidebar(client)
        if choice is None:
            st.info(
                "Nothing is published yet. Run `make run` (or `uplift run`), then reload.",
                icon=":material/hourglass:",
            )
            return
        show(client, choice)
    except ApiDownError as error:
        st.error(
            f"{error}\n\nStart it with `make serve` (or `uplift serve`), or set `UPLIFT_API_URL` to "
            "where it runs.",
            icon=":material/cloud_off:",
        )
        st.button("Try again", icon=":material/refresh:")
    except ApiRefusedError as error:
        st.error(f"The API gave no answer: {error}", icon=":material/error:")


def cached_get(client: ApiClient, choice: Choice, path: str, **query: JsonValue) -> Any:
    """Send a GET about an experiment, at most once a minute; its answer depends on the publication only.

    The answers have many rows, and each move of a slider runs the page again.
    """
    version = (choice.model["model_version"], choice.model["published_at"])
    return _cached_get(client, client.url, version, path, query | {"experiment": choice.experiment})


@st.cache_data(ttl=CACHE_SECONDS, max_entries=100, show_spinner=False)
def _cached_get(
    _client: ApiClient, url: str, version: tuple[str, str], path: str, query: dict[str, JsonValue]
) -> Any:
    del url, version  # they are part of the cache's key; the client is not
    return _client.get(path, **query)


def gate_of(
    client: ApiClient, choice: Choice, arm: str, learner: str | None = None
) -> dict[str, Any] | None:
    """Get the result of a learner's gate, by default the arm's deciding one; None: there is none."""
    answer = cached_get(client, choice, "/evidence", arm=arm, learner=learner)
    gate: dict[str, Any] | None = answer["gate"]
    return gate


def warn_of_gate(gate: Mapping[str, Any] | None) -> None:
    """Warn if acting on the scores is not shown to pay off; else say so in a caption."""
    if gate is None:
        return
    if gate["gate"] == "passed":
        st.caption(shown(gate))
    else:
        st.warning(not_shown(gate), icon=":material/warning:")
        st.page_link("app_pages/evidence.py", label="See the evidence", icon=":material/fact_check:")


def widget_key(
    name: str,
    default: object,
    *,
    known: Sequence[object] = (),
    within: tuple[float, float] = (-math.inf, math.inf),
    scope: str = "",
) -> str:
    """Set a widget's value from the address, the earlier choice or the default; return its key.

    The value goes through the session, not through the widget's argument: for Streamlit a widget with
    other arguments is another widget, which does not know the earlier choice.
    """
    key = f"{name} widget {scope}"
    text = st.query_params.get(name)
    chosen = st.session_state.get(name, default)
    start: object = chosen if text is None else _read(text, default)
    value: object = st.session_state.get(key, start)
    if type(value) is not type(default) or (known and value not in known):
        value = default
    if isinstance(value, int | float) and not within[0] <= value <= within[1]:
        value = default
    # Set it in every run: on another page the widget is another one for Streamlit. It would start at its
    # default, and may have other valid values.
    st.session_state[key] = value
    return key


def _read(text: str, like: object) -> object:
    """Read a value of the address as the type of ``like``; return the text if that fails."""
    try:
        if isinstance(like, int):
            return int(text)
        if isinstance(like, float):
            return float(text) if math.isfinite(float(text)) else text
    except ValueError:
        pass
    return text


def persist_choice(name: str, value: object, default: object = None) -> None:
    """Store a choice for the other pages and in the address; the default is not stored."""
    if value == default:
        _forget(name)
        return
    st.session_state[name] = value
    st.query_params[name] = str(value)


def forget_when_changed(choice: str, value: str, *names: str) -> None:
    """Remove entries that belong to the previous value of a choice, such as its user."""
    before = f"{choice} before"
    if st.session_state.get(before, value) != value:
        for name in names:
            _forget(name)
    st.session_state[before] = value


def _forget(name: str) -> None:
    st.session_state.pop(name, None)
    st.query_params.pop(name, None)


def choose_learner() -> str | None:
    """Show the choice of a learner; return it, or None for the champion."""
    learner = st.selectbox(
        "Model",
        [CHAMPION, *LEARNERS],
        key=widget_key("learner", CHAMPION, known=[CHAMPION, *LEARNERS]),
        format_func=lambda name: LEARNERS.get(name, name),
        help="The champion decides every night.",
    )
    persist_choice("learner", learner, CHAMPION)
    return None if learner == CHAMPION else learner


def choose_arm(experiment: str, arm: str) -> None:
    """Choose another treatment; the callback of a button."""
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
            key=widget_key("experiment", names[-1], known=names),
            format_func=lambda key: models[key]["title"],
        )
        forget_when_changed("experiment", name, "user", "outcome", "cost", "value", "users")
        model = models[name]
        arms = model["arms"]
        arm = st.selectbox(
            "Treatment", arms, key=widget_key("arm", model["arm"], known=arms, scope=name)
        )
        st.caption(
            f"**{model['title']}.** {model['description']}"
        )  # because the select box cuts a long title
        published = model["published_at"][:16].replace("T", " ")
        st.caption(f"Model {model['model_version']}, published {published} UTC")
    if pin := model.get("pinned"):
        st.warning(pinned(pin), icon=":material/keep:")
    forget_when_changed("arm", arm, "cost")
    persist_choice("experiment", name)
    persist_choice("arm", arm)
    return Choice(model, arm)
