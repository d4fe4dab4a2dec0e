"""S3: the contract of storages over a quick server, and what is particular: large objects, checksums, refusals."""

import hashlib
import pickle
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import pcakd.storage.s3 as s3
from pcakd.bulk.properties import ResultProperties, result_properties
from pcakd.errors import AccessError, ArchivedError, FatalError, NotFoundError, TransientError, UsageError
from pcakd.storage import Storage, open_places, open_storage
from pcakd.storage.properties import Properties
from pcakd.storage.retry import RetryPolicy
from tests.pcakd.storage.contract import StorageContract


class TestMoto(StorageContract):
    @pytest.fixture
    def storage(self, s3_server) -> Storage:
        return open_storage(f"s3://{s3_server.new_bucket()}/some prefix/50%")


@pytest.fixture
def bucket(s3_server) -> str:
    return s3_server.new_bucket()


def test_large_objects_go_up_in_parts_and_come_back_whole(bucket, monkeypatch):
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 6 << 20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    storage = open_storage(f"s3://{bucket}/x")
    data = b"0123456789abcdef" * ((12 << 20) // 16)
    storage.write("large", data)
    read, info = storage.read_with_info("large")
    assert read == data
    assert info.etag.endswith("-3")
    assert storage.sweep() == 0


def test_unfinished_uploads_are_swept(bucket, s3_server):
    s3_server.client().create_multipart_upload(Bucket=bucket, Key="x/half")
    s3_server.client().create_multipart_upload(Bucket=bucket, Key="other/half")
    assert open_storage(f"s3://{bucket}/x").sweep() == 1
    assert open_storage(f"s3://{bucket}").sweep() == 1


def test_keys_are_taken_as_they_are(bucket, s3_server):
    keys = ["x/../up.jpg", "x//double.jpg", "x/./dot.jpg", "x/a b%20c.jpg"]
    for key in keys:
        s3_server.client().put_object(Bucket=bucket, Key=key, Body=key.encode())
    storage = open_storage(f"s3://{bucket}/x")
    assert sorted(f"x/{entry.key}" for entry in storage.list()) == sorted(keys)


def test_a_photo_whose_name_says_nothing_is_served_as_what_it_is(bucket, s3_server, monkeypatch):
    storage, data = open_storage(f"s3://{bucket}"), b"\xff\xd8\xff\xe0 and so on"
    storage.write("photo", data)
    storage.write("a.png", data)
    storage.write("notes", b"text")
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 8)
    storage.write("large", data)
    heads = {
        key: s3_server.client().head_object(Bucket=bucket, Key=key) for key in ("photo", "a.png", "notes", "large")
    }
    types = [head["ContentType"] for head in heads.values()]
    assert types == ["image/jpeg", "image/png", "application/octet-stream", "image/jpeg"]


def test_an_object_that_is_not_what_was_written_is_refused(bucket, s3_server):
    lie = hashlib.sha256(b"something else").hexdigest()
    s3_server.client().put_object(Bucket=bucket, Key="a", Body=b"content", Metadata={s3.SHA256_METADATA: lie})
    storage = s3.S3Storage(bucket, policy=RetryPolicy(base_s=0, cap_s=0))
    with pytest.raises(FatalError, match="SHA-256"):
        storage.read("a")


def test_a_missing_bucket_is_said_at_once(s3_server):
    storage = open_storage("s3://no-such-bucket-here/x")
    for act in (storage.check, lambda: list(storage.list()), lambda: storage.write("a", b"x")):
        with pytest.raises(NotFoundError, match="no-such-bucket-here"):
            act()


def test_missing_credentials_are_said_at_once(s3_server, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(AccessError, match="AWS_ACCESS_KEY_ID") as caught:
        open_storage("s3://bucket/x").check()
    assert caught.value.credentials


def test_a_server_that_does_not_answer_is_given_up(s3_server, monkeypatch):
    monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    storage = s3.S3Storage("bucket", policy=RetryPolicy(attempts=2, base_s=0, cap_s=0))
    with pytest.raises(TransientError, match="2 tries"):
        storage.read("a")


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "ftp://host", "http://"])
def test_an_endpoint_that_is_no_url_is_a_usage_error(url, monkeypatch):
    monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", url)
    with pytest.raises(UsageError, match="PCAKD_S3_ENDPOINT_URL"):
        open_storage("s3://bucket/x")


def test_secrets_are_in_no_text_of_a_storage(s3_server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    import pickle

    storage = open_storage("s3://no-such-bucket-here/x")
    with pytest.raises(NotFoundError) as caught:
        storage.check()
    for text in (repr(storage), str(storage), str(caught.value), repr(vars(storage)), str(pickle.dumps(storage))):
        assert "hunter2" not in text
        assert "AKIAEXAMPLE" not in text
    monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", "http://AKIAEXAMPLE:hunter2@127.0.0.1:1")
    with pytest.raises(UsageError) as refused:
        open_storage("s3://bucket/x")
    assert "hunter2" not in str(refused.value)


def test_an_object_in_an_archive_is_said_to_be_restored_first(bucket, s3_server):
    s3_server.client().put_object(Bucket=bucket, Key="x/old.jpg", Body=b"photo", StorageClass="GLACIER")
    storage = open_storage(f"s3://{bucket}/x")
    assert [entry.key for entry in storage.list()] == ["old.jpg"]
    with pytest.raises(ArchivedError, match=r"old\.jpg: lies in an archive storage class; restore it"):
        storage.read("old.jpg")


def test_the_requester_pays_where_that_is_asked_for(bucket, monkeypatch):
    monkeypatch.setenv("PCAKD_S3_REQUEST_PAYER", "requester")
    storage = pickle.loads(pickle.dumps(open_storage(f"s3://{bucket}/x")))
    monkeypatch.delenv("PCAKD_S3_REQUEST_PAYER")  # a worker's environment does not say so
    sent = []
    storage._client.meta.events.register("before-sign.s3", lambda request, **_: sent.append(request.headers))
    storage.write("a", b"x")
    assert storage.read("a") == b"x"
    assert [entry.key for entry in storage.list()] == ["a"]
    assert len(sent) == 3
    assert all(headers["x-amz-request-payer"] in ("requester", b"requester") for headers in sent)
    monkeypatch.setenv("PCAKD_S3_REQUEST_PAYER", "me")
    with pytest.raises(UsageError, match="PCAKD_S3_REQUEST_PAYER is 'me'"):
        open_storage(f"s3://{bucket}/x")


def test_a_destination_bucket_that_is_not_there_is_found_before_anything_is_done(bucket, s3_server):
    with pytest.raises(NotFoundError, match="no-such-bucket-here"):
        open_places(f"s3://{bucket}/in", "s3://no-such-bucket-here/out")


def test_a_server_that_does_not_answer_is_named_without_the_objects_address():
    storage = s3.S3Storage("bucket", endpoint="http://127.0.0.1:9", policy=RetryPolicy(attempts=1))
    with pytest.raises(TransientError, match=r"no server answers at http://127\.0\.0\.1:9[);]"):
        storage.read("a")


@pytest.mark.parametrize(("status", "page"), [(404, b""), (404, b"<html><body>Not here</body></html>")])
def test_an_endpoint_that_is_no_s3_is_told_from_a_bucket_or_object_that_is_not_there(monkeypatch, status, page):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    storage = s3.S3Storage("bucket", endpoint=s3.endpoint_from_environment(), policy=RetryPolicy(base_s=0, cap_s=0))
    with pytest.raises((NotFoundError, TransientError), match="does not speak S3") as refused:
        storage.check()
    assert f"PCAKD_S3_ENDPOINT_URL is http://127.0.0.1:{server.server_port}" in str(refused.value)
    server.shutdown()
    server.server_close()


def test_missing_credentials_are_told_with_the_process_that_lacks_them(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    host = socket.gethostname()
    for program, run, words in (
        ("pcakd", "", "no S3 credentials; set"),
        ("default_worker.py", "", f"no S3 credentials in the environment of the Ray worker on {host}; set"),
        ("pcakd", "a-run", f"no S3 credentials in the environment of the Prefect worker that runs this flow on {host}"),
    ):
        monkeypatch.setattr("sys.argv", [f"/somewhere/{program}"])
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", run)
        with pytest.raises(AccessError, match=re.escape(words)):
            open_storage(f"s3://{bucket}/x").read("a")


def test_what_is_encrypted_with_a_key_says_so_whatever_way_it_was_written(s3_server, monkeypatch):
    key = "arn:aws:kms:eu-central-1:111122223333:key/0f2a"
    bucket, client = s3_server.new_bucket(), s3_server.client()
    source = open_storage(f"s3://{bucket}/in")
    storage = open_storage(f"s3://{bucket}/out").encrypted(f"aws:kms:{key}")
    storage.write("put", b"x")
    storage.create("created", b"x")
    storage.sub("_pcakd/1").write("spec.json", b"{}")
    with storage.writer("streamed") as file:
        file.write(b"x")
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 1)
    storage.write("parts", b"in parts")
    for name in ("put", "created", "_pcakd/1/spec.json", "streamed", "parts"):
        answer = client.head_object(Bucket=bucket, Key=f"out/{name}")
        assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", key), name
    # A result takes its object's key, where all properties are kept, unless the job names another.
    client.put_object(Bucket=bucket, Key="in/a", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    found = source.read_with_info("a")[1].properties
    kept, _ = result_properties(ResultProperties(keep_properties="all"), found, {}, same_format=True)
    source.write("b", b"x", kept)
    assert client.head_object(Bucket=bucket, Key="in/b")["SSEKMSKeyId"] == key
    source.write("c", b"x", Properties(encryption="aws:kms"))
    assert client.head_object(Bucket=bucket, Key="in/c")["ServerSideEncryption"] == "aws:kms"
