"""The image and the composition keep what docs/containers.md says, as far as their files tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_project.commands.cli import uplift
from dagster_project.settings import REPOSITORY

SERVICES = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))["services"]
KNOWN = {
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
    *("RUN", "USER", "VOLUME", "WORKDIR"),
}


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile with their arguments."""
    lines = (REPOSITORY / "Containerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(arguments.split())) for name, arguments in found]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions by stage; those before the first stage are left out."""
    parts: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            parts.append([])
        if parts:
            parts[-1].append((name, arguments))
    return parts


def of_last_stage(name: str) -> list[str]:
    return [arguments for instruction, arguments in stages()[-1] if instruction == name]


def test_every_instruction_is_known_and_nothing_is_fetched_by_address() -> None:
    assert {name for name, _ in instructions()} <= KNOWN - {"ADD"}
    assert not [a for _, a in instructions() if re.search(r"https?://(?!127\.0\.0\.1)|curl|wget", a)]
    assert all(":latest" not in a and ":" in a for n, a in instructions() if n == "FROM")


def test_what_is_copied_exists_and_is_sent_to_the_build() -> None:
    ignored = (REPOSITORY / ".containerignore").read_text(encoding="utf-8")
    assert (REPOSITORY / "Containerfile.dockerignore").read_text(encoding="utf-8") == ignored
    sent = re.findall(r"^!(\S+)$", ignored, re.MULTILINE)
    assert [name for name in sent if not (REPOSITORY / name).exists()] == []
    for _, arguments in (i for i in instructions() if i[0] == "COPY"):
        *sources, _ = [word for word in arguments.split() if not word.startswith("--")]
        if "--from" not in arguments:
            assert [s for s in sources if s != "." and s not in sent] == []
    named = re.findall(r"requirements/[\w.]+", " ".join(a for n, a in instructions() if n == "RUN"))
    assert {"requirements/image.txt"} <= set(named)
    assert [name for name in named if not (REPOSITORY / name).is_file()] == []


def test_packages_are_pinned_by_hash() -> None:
    for _, arguments in (i for i in instructions() if i[0] == "RUN"):
        for command in arguments.split("&&"):
            if " -r " in command or "uv build" in command:
                assert "--require-hashes" in command


def test_the_image_runs_as_nobody_special_and_knows_its_health() -> None:
    (user,) = of_last_stage("USER")
    assert int(user) > 0
    assert of_last_stage("HEALTHCHECK")
    assert of_last_stage("ENTRYPOINT") == ['["uplift"]']
    assert len(stages()) == 2
    assert any("--from=build" in arguments for arguments in of_last_stage("COPY"))


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_is_closed(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_takes_the_arguments(name: str) -> None:
    default = yaml.safe_load(of_last_stage("CMD")[0])
    command, *arguments = SERVICES[name].get("command", default)
    uplift.commands[command].make_context(command, list(arguments))
    assert of_last_stage("HEALTHCHECK")
    # podman-compose before 1.1 makes another command of words with spaces or quotes.
    checked = SERVICES[name].get("healthcheck", {}).get("test", [])
    assert [word for word in checked if not re.fullmatch(r"[\w:/.-]+", word)] == []


def test_every_setting_is_documented() -> None:
    documented = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    names = {name for service in SERVICES.values() for name in service.get("environment", ())}
    assert {name for name in names - {"DAGSTER_HOME"} if f"`{name}`" not in documented} == set()
    assert Path("/var/lib/uplift") in {
        Path(volume.split(":")[1]) for volume in SERVICES["api"]["volumes"]
    }
