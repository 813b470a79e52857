"""Bundles: what was saved is what is loaded, to the bit, or nothing is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support import folder_of
from uplift_core.artifacts import bundle
from uplift_core.artifacts.bundle import MANIFEST, Manifest, RawColumn
from uplift_core.artifacts.files import sha256_file
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells
from uplift_core.errors import BundleError
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel, fit_contrast

EDGES = BinEdges(
    ("b", "a"), (np.asarray([0.1, 0.2, 0.3], np.float32), np.asarray([-1.0, 1.0], np.float32))
)
PARAMETERS = LearnerParameters().model_copy(
    update={
        kind: getattr(LearnerParameters(), kind).model_copy(update={"rounds": 5, "min_leaf_events": 1})
        for kind in ("outcome", "effect")
    }
)


def manifest(**changes: object) -> Manifest:
    described: dict[str, object] = {
        "experiment": folder_of("simulated").declaration,
        "outcome": "converted",
        "features": EDGES.features,
        "features_sql": "select user_id, a::float as a, b::float as b from raw.simulated",
        "raw_columns": (RawColumn(name="a", type="DOUBLE"), RawColumn(name="b", type="DOUBLE")),
        "edges": EDGES.to_dict(),
        "data_sha256": "ab" * 32,
        "sql_sha256": "cd" * 32,
        "libraries": bundle.library_versions(),
    }
    return Manifest(**(described | changes))


@pytest.fixture(scope="module")
def model() -> ContrastModel:
    """All five learners on a small random experiment."""
    rng = np.random.default_rng(0)
    n = 600
    x = EDGES.bin(rng.normal(0.2, 0.6, (n, 2)).astype(np.float32))
    w = (rng.random(n) < 0.5).astype(np.int8)
    y = (rng.random(n) < 0.3 + 0.2 * w * (x[:, 0] > 0.15)).astype(float)
    cells = Cells(
        x=x,
        cell=np.arange(n),
        w=w,
        fold=(np.arange(n) % 3).astype(np.int8),
        n=np.ones(n),
        y_sum=y,
        events=y,
        propensity=0.5,
        binary=True,
    )
    return fit_contrast(cells, PARAMETERS)


@pytest.fixture
def saved(tmp_path: Path, model: ContrastModel) -> Path:
    """The folder of a saved bundle."""
    return bundle.save(tmp_path / "bundles", manifest(), {"treated": model})[1]


def test_predictions_survive_to_the_bit(saved: Path, model: ContrastModel) -> None:
    x = np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32)
    x[::7, 0] = np.nan
    loaded = bundle.load(saved).models["treated"]
    for learner in LEARNER_NAMES:
        before = model.predict(x, learner)
        assert len(np.unique(before)) > 1, learner
        assert loaded.predict(x, learner).tobytes() == before.tobytes(), learner
    assert loaded.predict_response(x).tobytes() == model.predict_response(x).tobytes()
    assert loaded.propensity == model.propensity


def test_the_manifest_survives_with_the_sha256_of_every_file(saved: Path) -> None:
    loaded = bundle.load(saved)
    files = {p.name: sha256_file(p) for p in saved.iterdir() if p.name != MANIFEST}
    assert loaded.manifest == manifest(files=files)
    assert [e.tolist() for e in loaded.edges.edges] == [e.tolist() for e in EDGES.edges]
    assert loaded.version == saved.name
    assert bundle.manifest_sha256(saved).startswith(saved.name.removeprefix("simulated-"))


def test_nothing_in_a_bundle_is_executable(saved: Path) -> None:
    assert {p.suffix for p in saved.iterdir()} == {".ubj", ".json"}


def test_equal_content_is_the_same_version_and_kept(saved: Path, model: ContrastModel) -> None:
    inode = saved.stat().st_ino
    version, path = bundle.save(saved.parent, manifest(), {"treated": model})
    assert (version, path) == (saved.name, saved)
    assert saved.stat().st_ino == inode
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("change", [{"data_sha256": "ef" * 32}, {"features_sql": "select 1"}])
def test_other_content_is_another_version(
    saved: Path, model: ContrastModel, change: dict[str, object]
) -> None:
    version, _ = bundle.save(saved.parent, manifest(**change), {"treated": model})
    assert version != saved.name


def test_saving_again_refuses_one_that_was_altered(saved: Path, model: ContrastModel) -> None:
    alter(saved / "treated-mu0.ubj")
    with pytest.raises(BundleError, match="altered"):
        bundle.save(saved.parent, manifest(), {"treated": model})


def alter(path: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_one_altered_bit_in_any_model_is_refused(saved: Path) -> None:
    models = sorted(saved.glob("*.ubj"))
    assert len(models) > 5
    for path in models:
        original = path.read_bytes()
        alter(path)
        with pytest.raises(BundleError, match=rf"{path.name}: altered.*train again"):
            bundle.load(saved)
        path.write_bytes(original)
    bundle.load(saved)


def test_one_altered_character_in_the_manifest_is_refused(saved: Path) -> None:
    path = saved / MANIFEST
    path.write_text(path.read_text().replace("abababab", "abababac", 1))
    with pytest.raises(BundleError, match=r"manifest's sha256 .* is not in the folder's name"):
        bundle.load(saved)


def test_a_missing_model_is_refused_by_name(saved: Path) -> None:
    (saved / "treated-mu1.ubj").unlink()
    with pytest.raises(BundleError, match=r"treated-mu1\.ubj is missing; restore"):
        bundle.load(saved)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json; not a model bundle"):
        bundle.load(tmp_path)


def test_a_bundle_under_another_name_is_refused(saved: Path) -> None:
    other = saved.with_name("simulated-000000000000")
    shutil.copytree(saved, other)
    with pytest.raises(BundleError, match="is not in the folder's name"):
        bundle.load(other)


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"format": 99}, "format 99, this version reads 2"), ({"surprise": 1}, "surprise")],
)
def test_another_format_is_refused(saved: Path, change: dict[str, object], fault: str) -> None:
    path = saved / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=f"(?s){fault}"):
        bundle.load(saved)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_manifest_that_is_no_json_object_is_refused(saved: Path, content: bytes) -> None:
    (saved / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=MANIFEST):
        bundle.load(saved)


def test_a_surplus_file_is_refused(saved: Path) -> None:
    (saved / "treated-extra.ubj").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"treated-extra\.ubj"):
        bundle.load(saved)


def test_a_crash_while_saving_leaves_no_bundle(
    tmp_path: Path, model: ContrastModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="power cut"):
        bundle.save(tmp_path, manifest(), {"treated": model})
    assert list(tmp_path.iterdir()) == []
