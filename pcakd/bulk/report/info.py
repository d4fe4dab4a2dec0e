"""What a report has to be told: the rest it reads from the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcakd.bulk.job import Resolved


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The run that ends with this report."""

    job_id: str
    """16 hexadecimal digits."""
    snapshot: int
    """Number of the listing that was worked on."""
    run: str
    """The run's name, as in its rows."""
    started: datetime
    """With time zone."""
    seconds: float
    """Wall time of this run, in seconds."""
    processed: int
    """Rows that this run wrote: what the throughput is of."""
    first_s: float | None = None
    """Seconds until the first of them was there: listing, Ray's start, loading the model."""
    stopped: str = ""
    """Why the run ended before the job was finished, one line; empty: it is finished."""
    workers: int = 1
    """Stylizing at once."""
    device: str = "cpu"
    """What they stylize on."""
    model: str = ""
    """The model's address, alias resolved."""
    model_digest: str = ""
    """SHA-256 of its weights."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The job's other settings, as they are to be shown; None is left out."""
    styles: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """Style → its photos, encoded."""

    @classmethod
    def of(cls, resolved: "Resolved", **run: Any) -> "RunInfo":
        """With what the job itself knows filled in. run: snapshot, run, started, seconds, processed, and what else."""
        job = resolved.job
        shown = {
            name: getattr(job, name)
            for name in ("transform", "strength", "smoothing", "compat", "precision", "format", "quality", "max_side")
        }
        weights = {
            name: " ".join(f"{weight:g}" for weight in style.weights)
            for name, style in job.style_specs().items()
            if len(set(style.weights)) > 1
        }
        shown |= {
            "weights": ", ".join(f"{name}: {text}" for name, text in weights.items()) or None,
            "template": job.output_template(),
            "manifest": job.manifest,
            "include": " ".join(job.include) or None,
            "exclude": " ".join(job.exclude) or None,
            "limit": job.limit,
            "overwrite": job.overwrite,
        }
        return cls(
            job_id=resolved.job_id,
            model=resolved.model,
            model_digest=resolved.model_digest,
            options=shown,
            styles=resolved.photos,
            **run,
        )
