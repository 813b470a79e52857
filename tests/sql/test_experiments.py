"""Rows in, rows out: how each built-in experiment reads its file and computes its features."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.inputs.sources.simulated import write_simulation
from tests.support import EXPERIMENTS, dicts, folder_of
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL


def load(db, name, source):
    raw = (EXPERIMENTS / name / RAW_SQL).read_text(encoding="utf-8")
    db.create(folder_of(name).tables.raw, raw, {"source": str(source)})
    features = (EXPERIMENTS / name / FEATURES_SQL).read_text(encoding="utf-8")
    raw_rows = dicts(db, f"from raw.{name} order by user_id")
    return raw_rows, dicts(db, f"select * from ({features}) order by user_id")


def test_hillstrom(db, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(
        "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\r\n"
        "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0\r\n"
        "1,3) $200 - $350,329.08,1,1,Rural,1,Multichannel,No E-Mail,1,1,29.99\r\n"
        "2,3) $200 - $350,329.08,0,1,Urban,1,Web,Mens E-Mail,1,0,0\r\n"
    )
    raw, features = load(db, "hillstrom", path)
    assert [r["user_id"] for r in raw] == [1, 2, 3]
    assert (raw[1]["segment"], raw[1]["visit"], raw[1]["spend"]) == ("No E-Mail", 1, 29.99)
    keys = ("zip_urban", "zip_rural", "channel_web", "channel_phone", "newbie", "recency")
    assert [tuple(f[k] for k in keys) for f in features] == [
        (0, 0, 0, 1, 0, 10),
        (0, 1, 1, 1, 1, 1),
        (1, 0, 1, 0, 1, 2),
    ]
    assert features[0]["history"] == pa.scalar(142.44, pa.float32()).as_py()


def test_hillstrom_without_a_column_is_refused(db, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("history_segment,recency\n2) $100 - $200,10\n")
    with pytest.raises(Exception, match=r"(?i)column.*visit"):
        load(db, "hillstrom", path)


def test_simulated(db, tmp_path):
    source = folder_of("simulated", n_users=500).declaration.source
    path = write_simulation(source, tmp_path)
    raw, features = load(db, "simulated", path)
    written = pq.read_table(path).to_pylist()
    assert [f["x4"] for f in features] == [row["x4"] for row in written]
    assert raw[7]["true_cate"] == written[7]["p1"] - written[7]["p0"]
    assert set(features[0]) == {"user_id", *(f"x{i}" for i in range(1, 11))}
    assert write_simulation(source, tmp_path / "again").read_bytes() == path.read_bytes()


def test_criteo(db, tmp_path):
    path = tmp_path / "criteo.csv.gz"
    names = [*(f"f{i}" for i in range(12)), "treatment", "conversion", "visit", "exposure"]
    rows = [[*(i + k / 4 for i in range(12)), k % 2, 0, 1, 0] for k in range(3)]
    lines = [",".join(map(str, row)) for row in [names, *rows]]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    raw, features = load(db, "criteo", path)
    assert [(r["treatment"], r["visit"]) for r in raw] == [(0, 1), (1, 1), (0, 1)]
    assert [f["f11"] for f in features] == [11.0, 11.25, 11.5]
    assert "exposure" not in features[0]
