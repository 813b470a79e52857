"""What is chosen once and holds on every page; kept in the address, so that a page can be shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.client import ApiClient, ApiDownError, ApiRefusedError

Show = Callable[[ApiClient, "Choice"], None]


@dataclass(frozen=True)
class Choice:
    """An experiment and one of its treatments."""

    model: dict[str, Any]  # as GET /models describes it
    arm: str

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.model["experiment"])


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


def from_address(name: str, known: list[str], default: str) -> int:
    """Place among ``known`` of what the address says, or of the default."""
    wanted = st.query_params.get(name, default)
    return known.index(wanted if wanted in known else default)


def number_from_address(name: str, default: int, *, low: int, high: int) -> int:
    """A whole number that the address says, or the default."""
    text = st.query_params.get(name, "")
    return min(max(int(text), low), high) if text.isdigit() else default


def _sidebar(client: ApiClient) -> Choice | None:
    models = {model["experiment"]: model for model in client.get("/models")}
    if not models:
        return None
    with st.sidebar:
        names = list(models)
        name = st.selectbox(
            "Experiment",
            names,
            index=from_address("experiment", names, names[-1]),
            format_func=lambda key: models[key]["title"],
        )
        model = models[name]
        arms = model["arms"]
        default = model["arm"]
        arm = st.selectbox(
            "Treatment", arms, index=from_address("arm", arms, default), key=f"arm of {name}"
        )
        st.caption(model["description"])
        st.caption(f"Model {model['model_version']}, published {model['published_at'][:16]} UTC")
    st.query_params["experiment"], st.query_params["arm"] = name, arm
    return Choice(model, arm)
