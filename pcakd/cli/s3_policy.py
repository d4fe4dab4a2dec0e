"""`pcakd s3-policy`: the least that each of pcakd's jobs may do where, as IAM JSON.

A test holds the actions against the requests that real runs make, and runs the jobs as users who have nothing else.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import click

from pcakd.bulk.job import BucketJob
from pcakd.bulk.properties import ResultProperties, check_properties
from pcakd.checks import one_of
from pcakd.cli.options import field_option, field_options
from pcakd.errors import UsageError
from pcakd.storage.s3 import parse_s3_uri

READ = ("s3:GetObject",)
WRITE = ("s3:AbortMultipartUpload", "s3:PutObject")
DELETE = ("s3:DeleteObject",)
UPLOADS = ("s3:ListBucketMultipartUploads",)
READ_TAGS, WRITE_TAGS = ("s3:GetObjectTagging",), ("s3:PutObjectTagging",)
KEY = ("kms:Decrypt", "kms:GenerateDataKey")
"""On the key that results are encrypted with; an upload in parts reads its own parts again."""
BULK = "stylize-bucket"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one kind of process does."""

    what: str
    """In words."""
    source: tuple[str, ...] = READ
    """Actions on the objects it reads, beside listing them."""
    dest: tuple[str, ...] | None = None
    """Actions on the objects of its destination, beside listing them; None: it has no destination."""
    uploads: bool = field(default=False)
    """Whether it clears away what broken uploads of large objects left behind, which needs their list."""


ROLES = {
    "read": Role(what="reads shards, students or stylized photos"),
    "shard": Role(what="`pcakd shard`: reads photos, writes shards", dest=(*READ, *WRITE, *DELETE), uploads=True),
    "stylize-bucket": Role(
        what="`pcakd stylize-bucket`: reads photos, writes results and the ledger", dest=(*READ, *WRITE, *DELETE)
    ),
    "pipeline": Role(
        what="the flows: read photos, write stage outputs into the workspace",
        dest=(*READ, *WRITE, *DELETE),
        uploads=True,
    ),
}
"""Name → role."""


def s3_policy(
    role: str,
    source: str,
    dest: str | None = None,
    *,
    read: tuple[str, ...] = (),
    write: tuple[str, ...] = (),
    inventory: str | None = None,
    properties: ResultProperties | None = None,
) -> dict[str, Any]:
    """The IAM policy of a role.

    source, dest: s3:// addresses; dest only where the role has one. read: more places that are read (styles, a
    manifest, a teacher). write: more that are written (shards of results). inventory: manifest.json of an S3 Inventory
    that a bulk job takes for its listing; it may read those of other days, too. properties: what a bulk job gives its
    results beside their content. Raises UsageError.
    """
    asked = properties or ResultProperties()
    if asked != ResultProperties() or inventory:
        one_of("role", role, (BULK,))
        check_properties(asked, dest or "")
    everything = asked.keep_properties == "all"

    one_of("role", role, ROLES)
    rights = ROLES[role]
    if (dest is None) != (rights.dest is None):
        raise UsageError(f"{role} {'wants a destination' if dest is None else 'has no destination'}")
    statements = _place("Source", source, (*rights.source, *(READ_TAGS if everything else ())))
    for number, place in enumerate(read, 1):
        statements += _place(f"Read{number}", place, READ)
    for number, place in enumerate(write, 1):
        statements += _place(f"Write{number}", place, (*READ, *WRITE, *DELETE))
    if inventory:
        statements += _place("Inventory", inventory.rsplit("/", 2)[0], READ)
    if dest is not None and rights.dest is not None:
        statements += _place("Dest", dest, (*rights.dest, *(WRITE_TAGS if everything or asked.tags else ())))
        if rights.uploads:
            # S3 knows no condition on the prefix for this one.
            statements.append(_statement("DestUploads", UPLOADS, _bucket(dest)))
    if key := asked.sse.partition("aws:kms:")[2]:
        statements.append(_statement("DestKey", KEY, key if key.startswith("arn:") else f"arn:aws:kms:*:*:{_key(key)}"))
    return {"Version": "2012-10-17", "Statement": statements}


def _key(name: str) -> str:
    return name if name.startswith("alias/") else f"key/{name}"


def _place(name: str, uri: str, actions: tuple[str, ...]) -> list[dict[str, Any]]:
    _, prefix = _parts(uri)
    listing = _statement(f"{name}List", ("s3:ListBucket",), _bucket(uri))
    if prefix:
        # IfExists: S3 says "no such object" only to who may list, and that question names no prefix. So a listing
        # that names none passes, too; a bucket whose other names are a secret wants to be another bucket.
        listing["Condition"] = {"StringLikeIfExists": {"s3:prefix": [f"{prefix}*"]}}
    return [listing, _statement(f"{name}Objects", tuple(sorted(actions)), f"{_bucket(uri)}/{prefix}*")]


def _statement(name: str, actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": [resource]}


def _bucket(uri: str) -> str:
    return f"arn:aws:s3:::{_parts(uri)[0]}"


def _parts(uri: str) -> tuple[str, str]:
    """(bucket, prefix as a pattern); a place is a folder, so the prefix ends in "/". Raises UsageError."""
    if not uri.startswith("s3://"):
        raise UsageError(f"{uri}: is no s3:// address")
    bucket, prefix = parse_s3_uri(uri)
    prefix = prefix.strip("/")
    for letter in "$*?":  # "$" first: it is part of what the others become
        prefix = prefix.replace(letter, f"${{{letter}}}")
    return bucket, f"{prefix}/" if prefix else ""


_ROLES = "\n".join(f"    {name:<15} {role.what}" for name, role in ROLES.items())


@click.command(
    "s3-policy",
    help=f"""Print the least-privilege IAM policy of a job, for the user or role that it runs as.

    SOURCE and DEST are s3:// addresses, as the job gets them.

    \b
    ROLE is one of
{_ROLES}

    \b
    Examples:
        pcakd s3-policy stylize-bucket s3://photos s3://stylized/summer --read s3://styles > policy.json
        aws iam put-role-policy --role-name pcakd-bulk --policy-name s3 --policy-document file://policy.json
        pcakd s3-policy stylize-bucket s3://photos s3://stylized --keep-properties all --sse aws:kms:KEY
            a bulk job's own options; of source objects' keys it cannot know, which want kms:Decrypt
    """,
)
@click.argument("role", type=click.Choice(list(ROLES)))
@click.argument("source")
@click.argument("dest", required=False)
@click.option("--read", multiple=True, metavar="S3_URI", help="One more folder that is read: styles, a manifest.")
@click.option("--write", multiple=True, metavar="S3_URI", help="One more folder that is written: shards of results.")
@field_option(BucketJob, "inventory", metavar="S3_URI", help="manifest.json of the S3 Inventory that a bulk job takes.")
@field_options(ResultProperties, "keep_properties")
@field_option(ResultProperties, "sse", metavar="AES256|aws:kms[:KEY]")
@field_option(ResultProperties, "tags", "--tag", metavar="NAME=VALUE")
def s3_policy_command(role: str, source: str, dest: str | None, **options: Any) -> None:
    given = ResultProperties(**{name: options.pop(name) for name in ("keep_properties", "sse", "tags")})
    click.echo(json.dumps(s3_policy(role, source, dest, **options, properties=given), indent=2))
