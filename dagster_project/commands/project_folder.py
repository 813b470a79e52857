"""A folder for a team's own experiments, outside the engine, under the team's version control."""

from __future__ import annotations

from pathlib import Path

from uplift_core.artifacts.files import replace_file
from uplift_core.errors import UpliftError

README = """# Uplift project

    uplift run simulated hillstrom        # see it work: a known answer, and a real experiment
    uplift new campaign.csv spring_mail   # declare yours; read and correct experiments/spring_mail
    uplift run spring_mail                # from the file to the published treat list
    uplift ui                             # the app; uplift dev: Dagster; uplift serve: the API
    uplift doctor                         # is all well?

Run the commands in this folder. `experiments/` belongs under version control. `.uplift/` holds what
runs write: users' ids, attributes and decisions. Back it up (`uplift backup --to ...`), and never
commit it.
"""
FILES = {
    "README.md": README,
    ".gitignore": ".uplift/\n.env\n",
    ".env.example": (
        "# Settings; the shell or the service manager exports them.\n"
        "# UPLIFT_HOME=.uplift\n"
        "# UPLIFT_DATA_DIR=/data\n"
        "# UPLIFT_EXPORTS=s3://bucket/lists\n"
        "# UPLIFT_API_KEYS='[\"sha256 of a key, in hex\"]'\n"
    ),
    "experiments/.gitkeep": "",
    "workspace.yaml": "load_from:\n  - python_module: dagster_project.definitions\n",
}


def create_project(folder: Path) -> list[Path]:
    """Write the files of a project; return their paths.

    Raises:
        UpliftError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UpliftError(f"{folder} is not empty; name a new folder")
    for name, text in FILES.items():
        replace_file(folder / name, text.encode())
    return [folder / name for name in FILES]
