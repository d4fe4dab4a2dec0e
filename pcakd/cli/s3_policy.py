"""`pcakd s3-policy`: the least that a job needs, as IAM JSON."""

import json

import click

from pcakd.storage.policy import ROLES, s3_policy

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
    """,
)
@click.argument("role", type=click.Choice(list(ROLES)))
@click.argument("source")
@click.argument("dest", required=False)
@click.option("--read", multiple=True, metavar="S3_URI", help="One more folder that is read: styles, a manifest.")
def s3_policy_command(role: str, source: str, dest: str | None, read: tuple[str, ...]) -> None:
    click.echo(json.dumps(s3_policy(role, source, dest, read=read), indent=2))
