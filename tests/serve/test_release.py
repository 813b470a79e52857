from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from serve import scoring
from serve.errors import RequestError
from serve.release import load_release
from serve.schemas.requests import Target
from serve.scoring import resolve
from serve.settings import Settings
from tests.serve.support import (
    attributes_of,
    change_entry,
    change_manifest,
    copy_home,
    publish_again,
    query,
)
from uplift_core.artifacts.publication import NothingPublishedError, read_pointer, write_pointer
from uplift_core.errors import BundleError


def test_nothing_published(tmp_path: Path) -> None:
    with pytest.raises(NothingPublishedError, match="make run"):
        load_release(Settings(home=tmp_path))


def test_a_bundle_other_than_the_published_is_refused(home: Path) -> None:
    change_entry(home, "simulated", bundle_sha256="0" * 64)
    with pytest.raises(BundleError, match="not the bundle that was published"):
        load_release(Settings(home=home))


def test_an_altered_bundle_is_refused(home: Path) -> None:
    (version,) = [e.model_version for e in read_pointer(home / "published").experiments.values()]
    path = home / "bundles" / version / "treated-r_tau.ubj"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        load_release(Settings(home=home))


@pytest.mark.parametrize("changes", [{"learner": "response"}, {"arm": "control"}])
def test_a_default_that_the_bundle_does_not_know_is_refused(home: Path, changes: dict) -> None:
    change_entry(home, "simulated", **changes)
    with pytest.raises(BundleError, match="has no learner"):
        load_release(Settings(home=home))


def test_another_experiments_bundle_is_refused(home: Path) -> None:
    pointer = read_pointer(home / "published")
    entries = {"other": pointer.experiments["simulated"]}
    write_pointer(home / "published", pointer.model_copy(update={"experiments": entries}))
    with pytest.raises(BundleError, match="another experiment than other"):
        load_release(Settings(home=home))


def test_a_feature_that_the_sql_does_not_compute_is_refused(home: Path) -> None:
    features = load_release(Settings(home=home)).model(None).bundle.manifest.features
    change_manifest(home, "simulated", features=[*features[:-1], "x99"])
    with pytest.raises(BundleError, match="x99"):
        load_release(Settings(home=home))


def test_features_that_are_not_the_models_are_refused(home: Path) -> None:
    features = load_release(Settings(home=home)).model(None).bundle.manifest.features
    change_manifest(home, "simulated", features=list(features[:-1]))
    with pytest.raises(ValueError, match=r"[Ff]eature"):
        load_release(Settings(home=home))


def test_a_raw_type_without_a_json_form_is_refused(home: Path) -> None:
    columns = load_release(Settings(home=home)).model(None).bundle.manifest.raw_columns
    changed = [c.model_dump() for c in columns]
    changed[0]["type"] = "BLOB"
    change_manifest(home, "simulated", raw_columns=changed)
    with pytest.raises(BundleError, match=f"'{changed[0]['name']}' is BLOB"):
        load_release(Settings(home=home))


def test_the_experiment_must_be_named_where_several_are_published(
    home: Path, hillstrom_home: Path, tmp_path: Path
) -> None:
    other = load_release(Settings(home=copy_home(hillstrom_home, tmp_path / "other")))
    one = load_release(Settings(home=home))
    release = replace(one, models={**one.models, **other.models})
    with pytest.raises(RequestError, match=r"experiment: missing; .*simulated, hillstrom"):
        release.model(None)
    assert release.model("hillstrom").experiment.name == "hillstrom"
    assert release.model("simulated").experiment.name == "simulated"


def test_requests_side_by_side_do_not_meet(simulated_served: Path) -> None:
    release = load_release(Settings(home=simulated_served))
    rows = query(
        simulated_served,
        "from raw.simulated join scores.simulated using (user_id) order by user_id limit 300",
    )

    def score(row: dict[str, object]) -> float:
        attributes = attributes_of(simulated_served, "simulated", row)
        job = resolve(release, Target(learner="x"), rows=[attributes])
        (scored,) = scoring.score([job])
        return float(scored.score[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(score, rows)) == [row["cate_x"] for row in rows]


def test_models_that_do_not_score_as_the_batch_did_are_refused(home: Path) -> None:
    publish_again(home, "second", "update scores.simulated set cate_dr = cate_dr + 1e-6")
    with pytest.raises(BundleError, match="dr scores for 'treated' are not those of the snapshot"):
        load_release(Settings(home=home))
