"""An estimate of a real job, by the real chain."""

import pytest

from pcakd.bulk.estimate import Prices, SizeSample
from pcakd.bulk.job import look_up
from pcakd.bulk.plan import dry_run
from pcakd.storage import open_storage
from tasks.bulk import BucketJob, BulkProgress, RunOptions
from tasks.bulk.estimate import measure
from tests.corpus import good_photos
from tests.tasks.bulk import jobs

pytestmark = pytest.mark.slow


def test_an_estimate_measures_some_objects_and_writes_nothing(tmp_path, ray_cluster):
    source = open_storage(tmp_path / "in")
    for sample in good_photos(30):
        source.write(sample.name, sample.data)
    source.write("bad.jpg", b"no photo, but as large as one" * 40)
    options = {"styles": (str(jobs.style(tmp_path)),), "model": str(jobs.student(tmp_path)), "look": "shared"}
    resolved = look_up(BucketJob(source=source.uri(), dest=str(tmp_path / "out"), **options))
    before = sorted(tmp_path.rglob("*"))
    chosen, told = SizeSample(), []
    dry_run(resolved, pending=chosen.add)
    with BulkProgress(tell=lambda share, what: told.append(what)) as progress:
        found = measure(resolved, RunOptions(workers=1), chosen, Prices(), progress=progress)
    assert (found.items, found.objects, found.machine.stylizers) == (31, 31, 1)
    assert 18 <= found.measured_objects <= 31
    assert 0 < found.machine.start_s < found.seconds.value
    assert 0 < found.bytes_out.value < 100 * 31 * 10_000
    assert told[0] == "starting Ray"
    assert sorted(tmp_path.rglob("*")) == before
