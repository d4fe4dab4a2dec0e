import json

import pytest

from pcakd.cli.s3_policy import ROLES, s3_policy
from pcakd.errors import UsageError
from tests.command import pcakd


def statements(policy):
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_a_prefix_limits_both_the_listing_and_the_objects():
    found = statements(s3_policy("shard", "s3://photos/in/summer/", "s3://shards"))
    assert found["SourceList"]["Resource"] == ["arn:aws:s3:::photos"]
    assert found["SourceList"]["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["in/summer/*"]}}
    assert found["SourceObjects"]["Resource"] == ["arn:aws:s3:::photos/in/summer/*"]
    assert found["SourceObjects"]["Action"] == ["s3:GetObject"]
    assert "Condition" not in found["DestList"]
    assert found["DestObjects"]["Resource"] == ["arn:aws:s3:::shards/*"]


def test_letters_that_a_policy_would_read_as_patterns_are_only_letters():
    found = statements(s3_policy("read", "s3://photos/a*b?$c"))
    assert found["SourceObjects"]["Resource"] == ["arn:aws:s3:::photos/a${*}b${?}${$}c/*"]


def test_only_what_clears_uploads_away_may_list_them():
    for role in ROLES:
        dest = None if role == "read" else "s3://out/x"
        assert ("DestUploads" in statements(s3_policy(role, "s3://in", dest))) == (role in ("shard", "pipeline"))


@pytest.mark.parametrize(
    ("role", "source", "dest", "says"),
    [
        ("read", "s3://a", "s3://b", "no destination"),
        ("shard", "s3://a", None, "wants a destination"),
        ("shard", "/photos", "s3://b", "no s3:// address"),
        ("admin", "s3://a", None, "one of read, shard"),
        ("read", "s3://key:secret@host/a", None, "holds no credentials"),
    ],
)
def test_what_makes_no_policy_is_said(role, source, dest, says):
    with pytest.raises(UsageError, match=says):
        s3_policy(role, source, dest)


def test_the_command_prints_the_policy_and_more_places_to_read():
    done = pcakd("s3-policy", "stylize-bucket", "s3://photos", "s3://out", "--read", "s3://styles/rain")
    assert done.returncode == 0, done.stderr
    policy = json.loads(done.stdout)
    assert policy == s3_policy("stylize-bucket", "s3://photos", "s3://out", read=("s3://styles/rain",))
    assert statements(policy)["Read1Objects"]["Resource"] == ["arn:aws:s3:::styles/rain/*"]
