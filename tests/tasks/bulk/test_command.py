"""`pcakd stylize-bucket` where it needs no Ray; whole jobs are in tests/tasks/stylize_bucket."""

import numpy as np
import pytest
from PIL import Image

from tests.command import pcakd


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder to be in, with photos/, a style and a manifest."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.jpg", "b.gif", "sub/c.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 60 * number, np.uint8)).save(path)
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "m.csv").write_text("key,style\nsub/c.png,y\na.jpg,\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "job.toml").write_text(
        'source = "photos"\ndest = "out"\nstyles = ["x.png"]\nmodel = "mobilenet"\nexclude = ["*.gif"]\n'
    )
    (tmp_path / "bad.toml").write_text('source = "photos"\nquality = "high"\n')
    return tmp_path


def bucket(*args, **environment):
    return pcakd("stylize-bucket", *args, fresh=False, **environment)


def test_a_dry_run_plans_and_writes_nothing(places):
    before = sorted(places.rglob("*"))
    done = bucket("photos", "out", "--style", "x.png", "--style", "y=x.png", "--model", "mobilenet", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("3 objects, ")
    assert any(line.startswith("6 results by mobilenet, in style x, y; job ") for line in lines)
    assert "  b.gif  →  b.x.gif.png" in lines
    assert "  sub/c.png  →  sub/c.y.png" in lines
    assert sorted(places.rglob("*")) == before


def test_a_dry_run_says_what_is_no_photo(places):
    for name in (".DS_Store", "a.jpg.xmp"):
        (places / "photos" / name).write_bytes(b"x")
    done = bucket("photos", "out", "--style", "x.png", "--model", "mobilenet", "--dry-run")
    lines = done.stdout.splitlines()
    assert "2 of them no photos, by their names: left out" in lines
    assert not any(".xmp" in line and "→" in line for line in lines)
    assert not any("more" in line for line in lines)


def test_a_dry_run_plans_videos_where_they_are_asked_for(places):
    for name in ("street.mp4", "old.avi"):
        (places / "photos" / name).write_bytes(b"x")
    words = ("photos", "out", "--style", "x.png", "--model", "mobilenet", "--dry-run")
    assert "2 of them no photos, by their names: left out" in bucket(*words).stdout.splitlines()
    lines = bucket(*words, "--videos", "--follow", "2").stdout.splitlines()
    assert not any("left out" in line for line in lines)
    assert "  street.mp4  →  street.mp4" in lines
    assert "  old.avi  →  old.avi.mkv" in lines


def test_a_dry_run_follows_the_job_file_and_options_beside_it(places):
    done = pcakd("stylize-bucket", "--job", "../job.toml", "--dry-run", cwd=places / "empty", fresh=False)
    assert done.returncode == 0, done.stderr
    assert "2 results by mobilenet, in style x;" in done.stdout
    done = bucket("--job", "job.toml", "--limit", "1", "--template", "{style}/{key}", "--dry-run")
    assert "  a.jpg  →  x/a.jpg" in done.stdout
    assert "1 object, " in done.stdout


def test_a_dry_run_follows_a_manifest(places):
    options = ("--style", "x.png", "--style", "y=x.png", "--model", "mobilenet", "--manifest", "m.csv", "--dry-run")
    done = bucket("photos", "out", *options)
    assert done.returncode == 0, done.stderr
    assert "2 objects" in done.stdout
    assert "3 results" in done.stdout


STYLE = ("--style", "x.png", "--model", "mobilenet", "--dry-run")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Missing argument 'SRC'; give it, or --job FILE"),
        (("photos", "out", *STYLE, "--follow", "2"), "follow is 2.0: it is of videos; add videos, or leave it out"),
        (("photos",), "Missing argument 'DEST'"),
        (("photos", "out"), "Missing option '--style'"),
        (("photos", "out", "more", *STYLE), "unexpected extra argument"),
        (("nowhere", "out", *STYLE), "nowhere: no such folder"),
        (("photos", "photos/out", *STYLE), "lie in each other"),
        (("empty", "out", *STYLE), "holds no objects"),
        (("ftp://host/in", "out", *STYLE), "ftp://"),
        (("photos", "out", "--style", "missing.jpg", "--dry-run"), "missing.jpg: no such file"),
        (("photos", "out", *STYLE, "--model", "missing.safetensors"), "missing.safetensors"),
        (("photos", "out", *STYLE, "--style", "y.png=x.png", "--style", "x.png"), "styles has two called 'x'"),
        (("photos", "out", *STYLE, "--combine", "all"), "'all' is not one of 'each', 'mix'"),
        (("photos", "out", *STYLE, "--weight", "1"), "weights count where photos are pooled"),
        (("photos", "out", *STYLE, "--weight", "x"), "'x' is not a valid float"),
        (("photos", "out", *STYLE, "--manifest", "missing.csv"), "missing.csv: no such manifest"),
        (("photos", "out", *STYLE, "--manifest", "m.csv"), "m.csv: row 1: style is 'y': use one of x"),
        (("photos", "out", *STYLE, "--manifest", "x.png"), "a manifest is a .csv, .tsv or .parquet file"),
        (("photos", "out", *STYLE, "--include", "*.webp"), "no objects that the globs take"),
        (("photos", "out", *STYLE, "--exclude", ""), "empty glob"),
        (("photos", "out", *STYLE, "--limit", "0"), "limit is 0: give 1 or more"),
        (("photos", "out", *STYLE, "--limit", "many"), "'many' is not a valid integer"),
        (("photos", "out", *STYLE, "--overwrite", "yes"), "'yes' is not one of 'skip', 'replace', 'fail'"),
        (("photos", "out", *STYLE, "--transform", "x"), "'x' is not one of 'zca', 'ot', 'adain'"),
        (("photos", "out", *STYLE, "--strength", "2"), "strength is 2.0: give 0 to 1"),
        (("photos", "out", *STYLE, "--smoothing", "x"), "'x' is not one of"),
        (("photos", "out", *STYLE, "--compat", "x"), "'x' is not one of"),
        (("photos", "out", *STYLE, "--precision", "x"), "'x' is not one of"),
        (("photos", "out", *STYLE, "--template", "{nam}"), "{nam} is no field; fields are {key}"),
        (("photos", "out", *STYLE, "--template", "../{key}"), "stay under the destination"),
        (("photos", "out", *STYLE, "--template", "all{ext}"), "every result would have one name"),
        (("photos", "out", *STYLE, "--format", "gif"), "'gif' is not one of"),
        (("photos", "out", *STYLE, "--quality", "0"), "quality is 0: give 1 to 100"),
        (("photos", "out", *STYLE, "--max-side", "3"), "max_side is 3: give 16 to 65500"),
        (("photos", "out", *STYLE, "--workers", "0"), "workers is 0: give 1 or more"),
        (("photos", "out", *STYLE, "--device", "gpu"), "'gpu' is not one of"),
        (("photos", "out", *STYLE, "--memory-limit", "much"), "'much' is not a memory size; write it as 1500MB or 2GB"),
        (("photos", "out", *STYLE, "--estimate", "--price", "core=1"), "price is 'core=1': write NAME=X, of core_hour"),
        (("photos", "out", "--style", "x.png", "--estimate"), "--estimate goes with --dry-run"),
        (("photos", "out", *STYLE, "--inventory", "x.json"), "inventory is the listing of an S3 bucket"),
        (("photos", "out", *STYLE, "--max-failed", "100%"), "write it as 100 or 5%"),
        (("--job", "missing.toml"), "missing.toml: no such job file"),
        (("--job", "bad.toml"), "bad.toml: quality is 'high': give a whole number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(places, args, says):
    done = bucket(*args)
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (places / "out").exists()


def test_a_bucket_that_is_not_there_is_one_line(places, s3_server):
    done = bucket("s3://no-such-bucket-here/in", "out", *STYLE)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no-such-bucket-here" in done.stderr


def test_help_teaches(places):
    done = bucket("--help")
    assert done.returncode == 0
    for word in ("Examples:", "--dry-run", "Job file", "Manifest", "Exit codes:", "[default: skip]"):
        assert word in done.stdout
