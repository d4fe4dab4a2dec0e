"""One-shot set-up of a stack: buckets, the MLflow login of the flows, Prefect work pool, deployments.

`python -m infra.run.setup` takes the buckets from PCAKD_WORKSPACE, PCAKD_PHOTOS and BUCKETS (more s3:// addresses,
separated by spaces), the login from MLFLOW_TRACKING_USERNAME and _PASSWORD, which MLFLOW_AUTH_ADMIN_USERNAME and
_PASSWORD make, and the deployments from prefect.yaml. Repeating it changes nothing.
"""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

from pcakd.cli.main import run
from pcakd.environment import setting
from pcakd.errors import AccessError, TransientError
from pcakd.storage.s3 import parse_s3_uri


def main() -> int:
    """Exit code, as of the `pcakd` command."""
    places = [setting("PCAKD_WORKSPACE"), setting("PCAKD_PHOTOS"), *os.environ.get("BUCKETS", "").split()]
    for bucket in sorted({parse_s3_uri(place)[0] for place in places if place.startswith("s3://")}):
        print(f"bucket {bucket}: {'made' if make_bucket(bucket) else 'was there'}")
    if "MLFLOW_AUTH_ADMIN_PASSWORD" in os.environ:
        name = os.environ["MLFLOW_TRACKING_USERNAME"]
        print(f"MLflow login {name}: {'made' if make_login(name) else 'was there'}")
    pool = os.environ.get("PREFECT_POOL") or "pcakd"
    prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    print(f"work pool {pool}: ready")
    if setting("PCAKD_PHOTOS"):
        os.environ.setdefault("PCAKD_TEACHER", "vgg19")
        prefect("--no-prompt", "deploy", "--all")
        print("deployments: ready")
    else:
        print("deployments: none, since PCAKD_PHOTOS is not set")
    return 0


def make_bucket(name: str) -> bool:
    """Make a bucket; False if it was there. Raises the project's errors for an S3 server that refuses or is away."""
    from botocore.exceptions import BotoCoreError, ClientError

    from pcakd.storage.s3_client import client_for, code_of, endpoint_from_environment, translated

    client = client_for(endpoint_from_environment())
    try:
        client.head_bucket(Bucket=name)
        return False
    except ClientError as error:
        if code_of(error) not in ("404", "NoSuchBucket", "NotFound"):
            raise translated(error, "look at", f"s3://{name}") from None
    except BotoCoreError as error:
        raise translated(error, "look at", f"s3://{name}") from None
    region = setting("AWS_REGION") or setting("AWS_DEFAULT_REGION") or "us-east-1"
    # AWS takes no location for its first region, and wants one for all others.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=name, **place)
    except (BotoCoreError, ClientError) as error:
        raise translated(error, "make", f"s3://{name}") from None
    return True


def make_login(name: str) -> bool:
    """Make the flows' MLflow login, which owns what it makes and nothing else; False if it was there."""
    admin = f"{os.environ['MLFLOW_AUTH_ADMIN_USERNAME']}:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}"
    login = {"username": name, "password": os.environ["MLFLOW_TRACKING_PASSWORD"]}
    request = urllib.request.Request(
        f"{setting('MLFLOW_TRACKING_URI')}/api/2.0/mlflow/users/create",
        json.dumps(login).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(admin.encode()).decode(),
        },
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()
        return True
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")
        if "RESOURCE_ALREADY_EXISTS" in answer:
            return False
        raise AccessError(f"MLflow refuses to make the login {name} (HTTP status {error.code})") from None
    except (OSError, urllib.error.URLError) as error:
        raise TransientError(f"MLflow does not answer at {setting('MLFLOW_TRACKING_URI')} ({error})") from None


def prefect(*words: str) -> None:
    """A `prefect` command. Raises TransientError with its last line."""
    done = subprocess.run([sys.executable, "-m", "prefect", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise TransientError(f"prefect {' '.join(words)} failed: {lines[-1] if lines else 'it said nothing'}")


if __name__ == "__main__":
    import click

    sys.exit(run(click.command(main), sys.argv[1:]))
