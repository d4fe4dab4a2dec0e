"""Every environment variable that pcakd reads, named once.

Code reads them through `setting` and `whole_number`, which know no others; infra/.env.example documents them, and
`make check` holds the two against each other.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pcakd.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable."""

    name: str
    """As it stands in the environment."""
    what: str
    """What it sets."""
    default: str = ""
    """What counts where it is unset or empty, in words."""
    secret: bool = False
    """Whether its value must not be shown, logged or written into a file of the repository."""


def _table(*variables: Variable) -> Mapping[str, Variable]:
    return {variable.name: variable for variable in variables}


VARIABLES = _table(
    Variable(
        name="PCAKD_HOME",
        what="local folder for tracking journals, the embedded tracking store and, where it is set, fetched models",
        default=".local",
    ),
    Variable(
        name="PCAKD_CACHE",
        what="local folder for what may be lost at any time: hashes of local files, fetched models",
        default="XDG_CACHE_HOME/pcakd, else ~/.cache/pcakd",
    ),
    Variable(name="PCAKD_WORKSPACE", what="folder or s3:// prefix of stage outputs", default="PCAKD_HOME/workspace"),
    Variable(name="PCAKD_EXPERIMENT", what="name of the MLflow experiment", default="pcakd"),
    Variable(name="PCAKD_TEACHERS", what="folder of teachers' weights (*.safetensors)", default="torchvision's cache"),
    Variable(name="PCAKD_DEBUG", what="with any value a command that fails shows the traceback", default="one line"),
    Variable(name="PCAKD_MAX_PIXELS", what="photos of more pixels are left out", default="268435456"),
    Variable(name="PCAKD_S3_ENDPOINT_URL", what="address of the S3 server", default="AWS_ENDPOINT_URL, else AWS"),
    Variable(
        name="PCAKD_S3_REQUEST_PAYER",
        what="`requester`: requests to S3 are paid for by whoever makes them, as some buckets ask",
        default="their owner pays",
    ),
    Variable(
        name="PCAKD_NOTIFY_SECRET",
        what="signs the messages of `pcakd stylize-bucket --notify`; the receiver has it, too",
        default="none",
        secret=True,
    ),
    Variable(name="PCAKD_NUM_CPUS", what="CPUs of a Ray that is started here", default="all of the machine"),
    Variable(name="PCAKD_OBJECT_STORE_MB", what="object store of a Ray that is started here, MiB", default="512"),
    Variable(name="PCAKD_RAY_TEMP_DIR", what="folder of a Ray that is started here", default="Ray's own"),
    Variable(name="PCAKD_PHOTOS", what="folder or s3:// prefix of photos that the deployed flows take", default="none"),
    Variable(name="PCAKD_TEACHER", what="teacher that the deployed flows distil from", default="vgg19"),
    Variable(name="PCAKD_STACK_DATA", what="`make up`: folder of databases and logs", default=".local/stack"),
    Variable(name="PCAKD_PREFECT_PORT", what="`make up`: port of the Prefect server", default="4200"),
    Variable(name="PCAKD_MLFLOW_PORT", what="`make up`: port of the MLflow server", default="5000"),
    Variable(name="PCAKD_RAY_PORT", what="`make up`: port of the Ray head", default="6379"),
    Variable(name="PCAKD_UI_PORT", what="`make up`: port of the page in the browser", default="7860"),
    Variable(
        name="PCAKD_UI_PASSWORD", what="password of the page's user, `pcakd ui --user`", default="none", secret=True
    ),
    Variable(
        name="MLFLOW_TRACKING_URI",
        what="tracking server and model registry",
        default="a SQLite file in the workspace, or in PCAKD_HOME where the workspace is on S3",
    ),
    Variable(
        name="PCAKD_MLFLOW_URL",
        what="address of MLflow's pages as browsers reach it, for links in Prefect",
        default="MLFLOW_TRACKING_URI",
    ),
    Variable(name="RAY_ADDRESS", what="Ray cluster of the stages, host:port", default="a local one for each run"),
    Variable(name="AWS_ACCESS_KEY_ID", what="S3 credentials", default="boto3's files, or the instance's role"),
    Variable(name="AWS_SECRET_ACCESS_KEY", what="S3 credentials", default="as above", secret=True),
    Variable(name="AWS_SESSION_TOKEN", what="S3 credentials that expire", default="none", secret=True),
    Variable(name="AWS_PROFILE", what="profile in boto3's files", default="default"),
    Variable(name="AWS_REGION", what="region of the buckets", default="AWS_DEFAULT_REGION, the profile's, us-east-1"),
    Variable(name="AWS_DEFAULT_REGION", what="region where AWS_REGION is unset", default="the profile's, us-east-1"),
)
"""Name → variable."""


RAY_WORKER = "default_worker.py"
"""The program that Ray starts for each of its workers."""
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""What a Prefect worker sets for the process that it starts for a flow run."""


def setting(name: str) -> str:
    """The variable's value without space around it, "" where it is unset. KeyError for a name not in `VARIABLES`."""
    return os.environ.get(VARIABLES[name].name, "").strip()


def whole_number(name: str, *, unit: str = "") -> int | None:
    """The variable as a number of 1 or more, None where it is unset. Raises UsageError for anything else."""
    text = setting(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{name} is {text!r}: give a whole number{f' of {unit}' if unit else ''}, 1 or more")
    return int(text)


def reader() -> str:
    """Whose environment this process reads, where that is not the shell that one sits at: " in the environment of the
    Ray worker on node-3"; "" for a command."""
    if Path(sys.argv[0] if sys.argv else "").name == RAY_WORKER:
        who = "the Ray worker"
    elif os.environ.get(FLOW_RUN):
        who = "the Prefect worker that runs this flow"
    else:
        return ""
    return f" in the environment of {who} on {socket.gethostname()}"


def cache_folder() -> Path:
    """PCAKD_CACHE, or the user's folder for what can be had again."""
    if given := setting("PCAKD_CACHE"):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "pcakd"
