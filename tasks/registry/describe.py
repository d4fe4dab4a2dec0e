"""What the pages of models and versions in MLflow say of them, in words: scores beside the baselines, the gate's
reason, where it comes from, a picture, its moves."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pcakd.units import counted
from tasks.registry.history import Move, standing
from tasks.registry.names import (
    BASELINE_TAG,
    CHANNELS_TAG,
    DESCRIBED_TAG,
    GENERATION_TAG,
    METRIC_TAG,
    MOVE_TAG,
    PAGE_TAG,
    PHOTOS_TAG,
    PICTURE_TAG,
    REASON_TAG,
    RECIPE_TAG,
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
MOVES = 10
"""The latest, that a page names: MLflow keeps 5,000 characters on PostgreSQL."""
MODEL_WORDS = """Students with the {0} backbone, distilled by pcakd. `champion` is the version that services use,
`challenger` the one that was registered last. `pcakd registry show {1}` tells who was champion when, by whom and why.
Each version's page has its scores beside the baselines, and what the gate said of it."""
"""The beginning of a registered model's description; with a champion, what it does follows."""


def describe(client: Any, name: str, version: int) -> None:
    """Write a version's description, unless a person has written one. A version that is gone is left alone."""
    found = _version(client, name, version)
    if found is None or _a_persons(found):
        return
    moves = [
        Move.from_json(text, int(tag.removeprefix(MOVE_TAG)))
        for tag, text in sorted(client.get_registered_model(name).tags.items())
        if tag.startswith(MOVE_TAG)
    ]
    text = description(found.tags, [move for move in moves if version in (move.version, move.before)], version)
    client.set_model_version_tag(name, str(version), DESCRIBED_TAG, _digest(text))
    client.update_model_version(name, str(version), text)


def describe_model(client: Any, name: str) -> None:
    """Write a registered model's description, with its champion's scores and picture, unless a person has written
    one."""
    found = client.get_registered_model(name)
    words = MODEL_WORDS.format(name.removeprefix("pcakd-"), name)
    if found.description != words and _a_persons(found):
        return
    since = standing(client, name).since
    champion = _version(client, name, since.version) if since is not None else None
    lines = [words]
    if since is not None and champion is not None:
        lines += ["", f"**Champion**: version {since.version}, since {since.when[:10]}, by {since.who}."]
        lines += [*_scores(champion.tags), "", made_from(champion.tags), *_picture(champion.tags)]
    text = "\n".join(lines)
    if text != found.description:
        client.set_registered_model_tag(name, DESCRIBED_TAG, _digest(text))
        client.update_registered_model(name, text)


def _version(client: Any, name: str, version: int) -> Any:
    """A version as MLflow has it, None for one that is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException:
        return None


def _a_persons(found: Any) -> bool:
    """Whether a person has written the description of a model or a version."""
    return bool(found.description) and _digest(found.description) != found.tags.get(DESCRIBED_TAG)


def description(tags: Mapping[str, str], moves: list[Move], version: int) -> str:
    """Markdown. moves: those that concern the version."""
    last = next((move for move in reversed(moves) if move.kind in ("promote", "rollback", "outside")), None)
    state = "Champion" if last is not None and last.version == version else "Challenger"
    if any(move.kind == "reject" and move.version == version for move in moves[-1:]):
        state = "Rejected"
    lines = [f"**{state}**: {tags.get(REASON_TAG, 'it has not been through the gate')}."]
    lines += [*_scores(tags), "", made_from(tags), *_picture(tags)]
    links = [f"[the run that made it]({tags[PAGE_TAG]})"] if PAGE_TAG in tags else []
    links += [f"{words} in `{tags[tag]}`" for words, tag in PLACES if tag in tags]
    if links:
        lines += ["", " · ".join(links)]
    if moves:
        lines += ["", *(f"- {move.when[:10]}, {move.who}: {move.words()}" for move in moves[-MOVES:])]
    return "\n".join(lines)


def _scores(tags: Mapping[str, str]) -> list[str]:
    """A table: the student, and the baselines of the same report. Nothing where nothing was measured."""
    baselines = sorted(
        {tag.removeprefix(BASELINE_TAG).partition(".")[0] for tag in tags if tag.startswith(BASELINE_TAG)}
    )
    rows = [(title, score) for title, score in SHOWN if METRIC_TAG + score in tags]
    if not rows:
        return []
    lines = ["", "| score | student | " + " | ".join(baselines) + " |", "| --- |" + " ---: |" * (1 + len(baselines))]
    for title, score in rows:
        cells = [tags[METRIC_TAG + score]]
        cells += [tags.get(f"{BASELINE_TAG}{one}.{score.removeprefix('own.')}", "") for one in baselines]
        lines.append(f"| {title} | " + " | ".join(_rounded(cell) for cell in cells) + " |")
    return lines


def _picture(tags: Mapping[str, str]) -> list[str]:
    """A picture that MLflow's server sends; by a relative address, which holds wherever the server is reached."""
    run, _, path = tags.get(PICTURE_TAG, "").partition("/")
    if not path:
        return []
    return ["", f"![photos and what it makes of them](get-artifact?{urlencode({'run_uuid': run, 'path': path})})"]


def made_from(tags: Mapping[str, str]) -> str:
    """One sentence on where a version comes from."""
    words = f"A student of {tags[CHANNELS_TAG]} channels" if tags.get(CHANNELS_TAG) else "A student"
    words += f", distilled from {tags[TEACHER_TAG]}" if tags.get(TEACHER_TAG) else ""
    if tags.get(PHOTOS_TAG):
        words += f" on {counted(int(tags[PHOTOS_TAG]), 'photo')}, generation {tags.get(GENERATION_TAG, '1')}"
    digest = tags.get("pcakd.data_digest", "")
    words += f" (digest `{digest[:16]}`)" if digest else ""
    return words + (f", by {tags[RECIPE_TAG]}" if tags.get(RECIPE_TAG) else "") + "."


def _rounded(text: str) -> str:
    try:
        return f"{float(text):.2f}"
    except ValueError:
        return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
