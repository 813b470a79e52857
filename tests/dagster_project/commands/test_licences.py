"""Every package of the image is named with its licence, on its page and in the bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from email.message import Message
from pathlib import Path

import pytest

from dagster_project.commands import licences


def test_the_page_is_what_the_installed_packages_say() -> None:
    assert licences.FILE.read_text(encoding="utf-8") == licences.page()
    assert len(licences.pinned()) > 100


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ([("License-Expression", "MIT"), ("License", "other")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: BSD License")], "BSD License"),
        (
            [("Classifier", "License :: OSI Approved"), ("License", "\nBSD-3\nmore")],
            "BSD-3",
        ),
        ([("License", "x" * 61)], "not named"),
        ([], "not named"),
    ],
)
def test_a_licence_is_read_from_the_metadata(headers: list[tuple[str, str]], licence: str) -> None:
    message = Message()
    for name, value in headers:
        message[name] = value
    assert licences.licence_of(message) == licence


def test_the_bill_of_materials_names_every_package_with_its_version(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    made = [sys.executable, "-m", "cyclonedx_py", "environment", "-o", str(file), sys.executable]
    subprocess.run(made, check=True, capture_output=True)
    bill = json.loads(file.read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    named = {(normal(part["name"]), part["version"]) for part in bill["components"]}
    assert {(normal(name), version) for name, version in licences.pinned().items()} <= named


def normal(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
