"""`pcakd send-tracking`."""

import click

from pcakd.cli.extra import need_pipeline

EXAMPLES = """\b
Examples:
  pcakd send-tracking
  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 PCAKD_HOME=/data/pcakd pcakd send-tracking"""


@click.command("send-tracking", epilog=EXAMPLES)
def send_tracking() -> int:
    """Send to MLflow what runs kept on this machine's disk while it did not answer.

    The next run on this machine does the same by itself. A run whose process died ends as KILLED.
    """
    need_pipeline("pcakd send-tracking")
    from pcakd.errors import TransientError
    from tasks.settings import Settings, quiet_environment
    from tasks.tracking import send_leftovers

    quiet_environment()
    settings = Settings.read()
    try:
        count = send_leftovers(settings)
    except Exception as error:  # whatever MLflow, its store or the network come up with
        detail = " ".join(str(error).split())[:200]
        raise TransientError(f"MLflow does not answer ({detail}); what is kept stays in {settings.journals}") from None
    click.echo(f"{count} runs sent" if count else "nothing was waiting")
    return 0
