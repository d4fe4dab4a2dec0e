"""Prefect automations of the deployments: word of failures, overruns and new champions, and an end for what hangs.

    PREFECT_API_URL=http://127.0.0.1:4200/api python -m infra.automations --webhook https://hooks.example/pcakd

Repeating it changes what is there to what is asked for. They cover every flow run with the tag `pcakd`, which
prefect.yaml gives to each deployment; the webhook gets a JSON object with "text", "event" and what it is about.
"""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from pcakd.cli.main import run
from pcakd.errors import TransientError, UsageError
from tasks.registry.names import CHAMPION_EVENT
from tasks.settings import quiet_environment

if TYPE_CHECKING:
    from prefect.events.schemas.automations import AutomationCore

BLOCK = "pcakd"
"""Name of the webhook block in Prefect."""
TAG: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.tag.pcakd", "prefect.resource.role": "tag"}
RUNS: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")}
NAME = "flow.name ~ ' ' ~ flow_run.name"
RUN = {"flow": "flow.name", "run": "flow_run.id | string"}
"""What the webhook gets of a run: name → Jinja expression."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--webhook", metavar="URL", help="Where JSON is posted: a chat's or pager's incoming webhook.")
@click.option(
    "--overrun-hours",
    type=click.FloatRange(0.003),
    default=12.0,
    show_default=True,
    help="Tell of runs that last longer.",
)
@click.option(
    "--end-hours", type=click.FloatRange(0.003), default=72.0, show_default=True, help="Cancel runs that last longer."
)
def main(webhook: str | None, overrun_hours: float, end_hours: float) -> int:
    """Make or renew the automations on the Prefect server at PREFECT_API_URL. Without --webhook: only the one that ends
    what hangs."""
    if webhook is not None and not webhook.startswith(("http://", "https://")):
        raise UsageError(f"--webhook {webhook!r}: give an http:// or https:// address")
    quiet_environment()
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():  # of the environment or of Prefect's profile
        raise UsageError("PREFECT_API_URL is not set: automations live on a Prefect server; `make up` says its address")
    for name in apply(webhook, timedelta(hours=overrun_hours), timedelta(hours=end_hours)):
        click.echo(f"automation {name}: ready")
    return 0


def apply(webhook: str | None, overrun: timedelta, end: timedelta) -> list[str]:
    """Make or renew them; their names. Raises TransientError where the server does not answer or refuses."""
    import httpx
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_URL
    from pydantic import SecretStr

    try:
        block = None
        if webhook:
            block = Webhook(url=SecretStr(webhook)).save(BLOCK, overwrite=True)
        wanted = automations(block, overrun, end)
        with get_client(sync_client=True) as client:
            there = {one.name: one for one in client.read_automations()}
            for automation in wanted:
                if automation.name in there:
                    client.delete_automation(there[automation.name].id)
                client.create_automation(automation)
    except (httpx.HTTPError, PrefectException) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TransientError(f"the Prefect server at {PREFECT_API_URL.value()}: {line}") from None
    return [one.name for one in wanted]


def automations(block: Any, overrun: timedelta, end: timedelta) -> list["AutomationCore"]:
    """All of them; block: id of the webhook's, None for none."""
    from prefect.events.actions import CallWebhook, CancelFlowRun
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    def call(event: str, **fields: str) -> list[Any]:
        # Each field is a Jinja expression. Names and messages are people's: tojson writes them so that all stays JSON.
        body = ", ".join(
            f'"{name}": {{{{ ({one}) | tojson }}}}' for name, one in {"event": f"'{event}'", **fields}.items()
        )
        return [CallWebhook(block_document_id=block, payload=f"{{{body}}}")] if block else []

    def lasting(within: timedelta) -> EventTrigger:
        return EventTrigger(
            posture=Posture.Proactive,
            match=RUNS,
            match_related=TAG,
            after={"prefect.flow-run.Running"},
            expect=ENDS,
            for_each={"prefect.resource.id"},
            within=within,
        )

    found = [
        AutomationCore(
            name="pcakd: a run failed",
            description="Failed, crashed or was timed out.",
            trigger=EventTrigger(
                match=RUNS,
                match_related=TAG,
                expect=ENDS - {"prefect.flow-run.Completed", "prefect.flow-run.Cancelled"},
                for_each={"prefect.resource.id"},
            ),
            actions=call(
                "run-failed",
                text=f"{NAME} ~ ': ' ~ flow_run.state.name ~ ': ' ~ (flow_run.state.message or '')",
                **RUN,
            ),
        ),
        AutomationCore(
            name="pcakd: a run overran",
            description=f"Runs for more than {overrun}.",
            trigger=lasting(overrun),
            actions=call("run-overran", text=f"{NAME} ~ ' runs for more than {overrun}'", **RUN),
        ),
        AutomationCore(
            name="pcakd: a new champion",
            description="A flow made another version of a registered student the champion.",
            trigger=EventTrigger(expect={CHAMPION_EVENT}),
            actions=call(
                "new-champion",
                text="event.payload.model ~ ' is champion: ' ~ event.payload.reason",
                model="event.payload.model",
            ),
        ),
    ]
    hanging = AutomationCore(
        name="pcakd: end what hangs",
        description=f"Cancels a run that lasts longer than {end}; its rows, states and finished stages stay.",
        trigger=lasting(end),
        actions=[CancelFlowRun()],
    )
    return [*(one for one in found if one.actions), hanging]


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
