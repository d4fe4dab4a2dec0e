"""The S3 rights that `pcakd s3-policy` prints, against a server that enforces them: enough, and no more."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from pcakd.cli.s3_policy import READ, WRITE, s3_policy
from pcakd.errors import AccessError
from pcakd.storage import open_storage
from tests.command import pcakd
from tests.corpus import good_photos
from tests.servers.fault_proxy import FaultProxy, fault_proxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.slow

LIST = "s3:ListBucket"


@pytest.fixture(scope="module")
def restricted(ceph: S3Server) -> S3Server:
    """A user with no rights, of an S3 server that enforces policies."""
    from tests.servers.ceph import new_user

    return new_user(ceph, "restricted")


def allow(owner: S3Server, user: S3Server, policy: dict) -> None:
    """Give a user the statements of a policy: as bucket policies, each with the statements on that bucket."""
    buckets: dict[str, list] = {}
    for statement in policy["Statement"]:
        bucket = statement["Resource"][0].removeprefix("arn:aws:s3:::").partition("/")[0]
        whom = {"Principal": {"AWS": [f"arn:aws:iam:::user/{user.access_key}"]}}
        buckets.setdefault(bucket, []).append(statement | whom)
    for bucket, statements in buckets.items():
        document = json.dumps({"Version": policy["Version"], "Statement": statements})
        owner.client().put_bucket_policy(Bucket=bucket, Policy=document)


def actions(policy: dict, bucket: str) -> set[str]:
    """What a policy allows in a bucket."""
    return {
        action
        for statement in policy["Statement"]
        if statement["Resource"][0].removeprefix("arn:aws:s3:::").partition("/")[0] == bucket
        for action in statement["Action"]
    }


def asked(proxy: FaultProxy, bucket: str) -> set[str]:
    """The actions that requests to a bucket want."""
    return {
        action_of(method, parts.path.strip("/").partition("/")[2], set(parse_qs(parts.query, keep_blank_values=True)))
        for method, path in proxy.requests
        if (parts := urlsplit(path)).path.strip("/").partition("/")[0] == bucket
    }


def action_of(method: str, key: str, query: set[str]) -> str:
    """The right that an S3 request wants; the table is AWS's, by operation."""
    match method:
        case "GET" if "uploads" in query:
            return "s3:ListBucketMultipartUploads"
        case "GET" | "HEAD":
            return "s3:GetObject" if key else LIST
        case "PUT" | "POST":
            return "s3:PutObject"
        case "DELETE":
            return "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
    raise AssertionError(f"{method} {key} {query}")


def test_jobs_ask_for_exactly_what_their_policies_allow_and_need_no_more(ceph, restricted, tmp_path, monkeypatch):
    server, user = ceph, restricted
    photos, shards, stylized = (server.new_bucket() for _ in range(3))
    for name, text in server.environment().items():
        monkeypatch.setenv(name, text)
    storage = open_storage(f"s3://{photos}/in")
    for sample in good_photos(6):
        storage.write(sample.name, sample.data)
    open_storage(f"s3://{photos}/other").write("a.jpg", b"x")
    # What an upload that broke leaves behind, for the job to clear away.
    server.client().create_multipart_upload(Bucket=shards, Key="set/train/left")
    shard = s3_policy("shard", f"s3://{photos}/in", f"s3://{shards}/set")
    stylize = s3_policy("stylize-bucket", f"s3://{photos}/in", f"s3://{stylized}/out")
    both = {"Version": shard["Version"], "Statement": [*shard["Statement"], *stylize["Statement"][2:]]}
    style = tmp_path / "style.jpg"
    style.write_bytes(good_photos(1)[0].data)
    jobs = {
        shards: ("shard", f"s3://{photos}/in", f"s3://{shards}/set"),
        stylized: ("stylize-bucket", f"s3://{photos}/in", f"s3://{stylized}/out", "--style", style),
    }
    with fault_proxy(server.endpoint) as proxy:
        environment = user.environment(proxy.url) | {"PCAKD_NUM_CPUS": "2", "PCAKD_HOME": str(tmp_path / "home")}
        refused = pcakd(*jobs[shards], **environment)
        assert refused.returncode == 2
        assert re.search(r"these S3 credentials( in the environment of .*)? do not allow it", refused.stderr)
        allow(server, user, both)
        proxy.requests.clear()
        # The bulk job twice: the second run clears the first one's lease away.
        for words in (*jobs.values(), jobs[stylized]):
            for _ in range(3):  # Ray gives its parts 30 s to start, which a busy machine may exceed
                done = pcakd(*words, cwd=tmp_path, **environment)
                if done.returncode != 4:
                    break
            assert done.returncode == 0, done.stderr + done.stdout
    assert asked(proxy, photos) == actions(shard, photos) == actions(stylize, photos) == {LIST, *READ}
    assert asked(proxy, shards) == actions(shard, shards)
    # A stylized photo of more than 64 MB would be an upload in parts, which ends in one more call if it breaks.
    assert asked(proxy, stylized) | {"s3:AbortMultipartUpload"} == actions(stylize, stylized)
    assert actions(stylize, stylized) == {LIST, *READ, *WRITE, "s3:DeleteObject"}

    # Beside the prefixes there is no right to anything.
    for name, text in user.environment().items():
        monkeypatch.setenv(name, text)
    for act in (
        lambda: open_storage(f"s3://{photos}/in").write("new.jpg", b"x"),
        lambda: open_storage(f"s3://{photos}/other").read("a.jpg"),
        lambda: list(open_storage(f"s3://{photos}/other").list()),
        lambda: open_storage(f"s3://{stylized}").write("beside.jpg", b"x"),
        lambda: open_storage(f"s3://{stylized}/out").sweep(),
    ):
        with pytest.raises(AccessError):
            act()
