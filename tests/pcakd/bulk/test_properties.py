"""What results have beside their content, without a server."""

import pytest

from pcakd.bulk import BucketJob
from pcakd.bulk.properties import ResultProperties, result_properties
from pcakd.cli.s3_policy import s3_policy
from pcakd.errors import UsageError
from pcakd.storage.properties import Properties
from tests.pcakd.bulk.made import resolved

HEADERS = {"ContentType": "image/jpeg", "CacheControl": "max-age=60", "ContentDisposition": 'inline; filename="a.jpg"'}
SOURCE = Properties(
    headers=HEADERS, metadata={"album": "summer"}, storage_class="STANDARD_IA", encryption="aws:kms:arn:key"
)


def made(how: ResultProperties, source: Properties | None = SOURCE, tags: dict | None = None, same_format: bool = True):
    return result_properties(how, source, tags or {}, same_format=same_format)


def test_a_result_takes_of_its_object_what_the_job_says_and_what_is_given_wins():
    assert made(ResultProperties()) == (Properties(headers=HEADERS, metadata={"album": "summer"}), [])
    assert made(ResultProperties(keep_properties="none")) == (Properties(), [])
    found, _ = made(ResultProperties(keep_properties="all"), tags={"team": "a"})
    assert (found.storage_class, found.encryption, found.tags) == ("STANDARD_IA", "aws:kms:arn:key", {"team": "a"})
    given = {"storage_class": "GLACIER_IR", "sse": "AES256", "tags": ("team=b", "x=1")}
    wanted = Properties(storage_class="GLACIER_IR", encryption="AES256", tags={"team": "b", "x": "1"})
    assert made(ResultProperties(**given), source=None) == (wanted, [])
    found, _ = made(ResultProperties(keep_properties="all", **given), tags={"team": "a", "y": "2"})
    assert (found.storage_class, found.encryption) == ("GLACIER_IR", "AES256")
    assert found.tags == {"team": "b", "x": "1", "y": "2"}


def test_what_names_a_format_goes_with_it():
    found, _ = made(ResultProperties(), same_format=False)
    assert found.headers == {"CacheControl": "max-age=60"}
    found, _ = made(ResultProperties(), Properties(headers={"ContentType": "binary/octet-stream"}))
    assert found.headers == {}


def test_what_s3_cannot_take_is_left_and_told():
    found, notes = made(ResultProperties(), Properties(metadata={"a": "ü", "b": "x" * 1900, "c": "y" * 100}))
    assert list(found.metadata) == ["b"]
    assert notes == [
        "'a' is not kept: it is not ASCII",
        "metadata of more than 1,972 bytes: kept as far as there is room",
    ]
    how = ResultProperties(keep_properties="all", tags=("mine=1",))
    found, notes = made(how, tags={str(number): "" for number in range(10)})
    assert (found.tags, notes) == ({"mine": "1"}, ["more than 10 tags: those of its object are not kept"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keep_properties": "some"}, "keep_properties is 'some': use one of none, headers, all"),
        ({"tags": ("a",)}, "tags has 'a': write NAME=VALUE"),
        ({"tags": ("a=1", "a=2")}, "tags has a name twice"),
        ({"tags": tuple(f"{number}=" for number in range(11))}, "tags are 11: an object has 10 at most"),
        ({"storage_class": "COLD STORE"}, "storage_class is 'COLD STORE': write one as STANDARD_IA"),
        ({"sse": "aes"}, "sse is 'aes': write AES256, aws:kms or aws:kms:KEY"),
        ({"dest": "out", "sse": "AES256"}, "sse is for results on S3, and dest is a folder: leave it out"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(changes, says):
    with pytest.raises(UsageError) as caught:
        BucketJob(**({"source": "in", "dest": "s3://out", "styles": ("x.jpg",)} | changes))
    assert says in str(caught.value)


def test_they_are_no_part_of_the_jobs_id():
    plain = resolved("s3://in", "s3://out").job_id
    given = {"keep_properties": "all", "storage_class": "STANDARD_IA", "sse": "AES256", "tags": ("a=1",)}
    assert resolved("s3://in", "s3://out", **given).job_id == plain


def test_the_policy_has_the_rights_that_they_want():
    def actions(**given) -> dict[str, set[str]]:
        policy = s3_policy("stylize-bucket", "s3://in", "s3://out", properties=ResultProperties(**given))
        return {statement["Sid"]: set(statement["Action"]) for statement in policy["Statement"]}

    plain = actions()
    everything = actions(keep_properties="all", sse="aws:kms:alias/photos")
    assert everything["SourceObjects"] - plain["SourceObjects"] == {"s3:GetObjectTagging"}
    assert everything["DestObjects"] - plain["DestObjects"] == {"s3:PutObjectTagging"}
    assert everything["DestKey"] == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert actions(tags=("a=1",)) == plain | {"DestObjects": everything["DestObjects"]}
    assert actions(storage_class="STANDARD_IA") == plain
    with pytest.raises(UsageError, match="role is 'shard'"):
        s3_policy("shard", "s3://in", "s3://out", properties=ResultProperties(keep_properties="all"))
