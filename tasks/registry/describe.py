"""What a version's page in MLflow says of it, in words: scores beside the baselines, the gate's reason,
where it comes from, its moves."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pcakd.units import counted
from tasks.registry.history import Move
from tasks.registry.names import (
    BASELINE_TAG,
    CHANNELS_TAG,
    DESCRIBED_TAG,
    GENERATION_TAG,
    METRIC_TAG,
    MOVE_TAG,
    PAGE_TAG,
    PHOTOS_TAG,
    REASON_TAG,
    SHADOW_TAG,
    TEACHER_TAG,
)

SHOWN = (
    ("same, dB", "same.psnr"),
    ("across, dB", "across.psnr"),
    ("same by the paper's transfer, dB", "own.same.psnr"),
    ("across by the paper's transfer, dB", "own.across.psnr"),
    ("reconstruction, dB", "reconstruction"),
)
"""Title and score of the rows of the table."""
PLACES = (("evaluation", "pcakd.evaluation_place"), ("shadow run", SHADOW_TAG))
"""What else there is to read, and the tag that says where."""


def describe(client: Any, name: str, version: int) -> None:
    """Write a version's description, unless a person has written one. A version that is gone is left alone."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(name, str(version))
    except MlflowException:
        return
    if found.description and _digest(found.description) != found.tags.get(DESCRIBED_TAG):
        return
    moves = [
        Move.from_json(text, int(tag.removeprefix(MOVE_TAG)))
        for tag, text in sorted(client.get_registered_model(name).tags.items())
        if tag.startswith(MOVE_TAG)
    ]
    text = description(found.tags, [move for move in moves if version in (move.version, move.before)], version)
    client.set_model_version_tag(name, str(version), DESCRIBED_TAG, _digest(text))
    client.update_model_version(name, str(version), text)


def description(tags: Mapping[str, str], moves: list[Move], version: int) -> str:
    """Markdown. moves: those that concern the version."""
    last = next((move for move in reversed(moves) if move.kind in ("promote", "rollback", "outside")), None)
    state = "Champion" if last is not None and last.version == version else "Challenger"
    if any(move.kind == "reject" and move.version == version for move in moves[-1:]):
        state = "Rejected"
    lines = [f"**{state}**: {tags.get(REASON_TAG, 'it has not been through the gate')}."]
    baselines = sorted(
        {tag.removeprefix(BASELINE_TAG).partition(".")[0] for tag in tags if tag.startswith(BASELINE_TAG)}
    )
    rows = [(title, score) for title, score in SHOWN if METRIC_TAG + score in tags]
    if rows:
        lines += [
            "",
            "| score | student | " + " | ".join(baselines) + " |",
            "| --- |" + " ---: |" * (1 + len(baselines)),
        ]
    for title, score in rows:
        cells = [tags[METRIC_TAG + score]]
        cells += [tags.get(f"{BASELINE_TAG}{one}.{score.removeprefix('own.')}", "") for one in baselines]
        lines.append(f"| {title} | " + " | ".join(_rounded(cell) for cell in cells) + " |")
    lines += ["", made_from(tags)]
    links = [f"[the run that made it]({tags[PAGE_TAG]})"] if PAGE_TAG in tags else []
    links += [f"{words} in `{tags[tag]}`" for words, tag in PLACES if tag in tags]
    if links:
        lines += ["", " · ".join(links)]
    if moves:
        lines += ["", *(f"- {move.when[:10]}, {move.who}: {move.words()}" for move in moves)]
    return "\n".join(lines)


def made_from(tags: Mapping[str, str]) -> str:
    """One sentence on where a version comes from."""
    words = f"A student of {tags[CHANNELS_TAG]} channels" if tags.get(CHANNELS_TAG) else "A student"
    words += f", distilled from {tags[TEACHER_TAG]}" if tags.get(TEACHER_TAG) else ""
    if tags.get(PHOTOS_TAG):
        words += f" on {counted(int(tags[PHOTOS_TAG]), 'photo')}, generation {tags.get(GENERATION_TAG, '1')}"
    digest = tags.get("pcakd.data_digest", "")
    return words + (f" (digest `{digest[:16]}`)" if digest else "") + "."


def _rounded(text: str) -> str:
    try:
        return f"{float(text):.2f}"
    except ValueError:
        return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
