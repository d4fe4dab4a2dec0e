"""Every image reference names an exact version; those that others publish also a digest."""

import re
from collections.abc import Iterator
from pathlib import Path

from infra.check.files import InvalidError, documents, env_file, interpolate

OWN = re.compile(r"(?:^|/)pcakd$")
"""Images that are built from this repository: their digest is not known before."""

_REFERENCE = re.compile(r"^(?P<name>[^@]+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(?P<digest>.+))?$")


def problem_with(reference: str) -> str | None:
    """What is wrong with an image reference, None if it is pinned."""
    match = _REFERENCE.match(reference)
    if match is None or "$" in reference:
        return "is no image reference"
    tag, digest = match["tag"], match["digest"]
    if not tag:
        return "has no tag"
    if not re.search(r"\d", tag) or tag.startswith("latest"):
        return f"has the tag {tag!r}, which moves"
    if digest is None:
        return None if OWN.search(match["name"]) else "has no digest (@sha256:...)"
    return None if re.fullmatch(r"sha256:[0-9a-f]{64}", digest) else f"has the digest {digest!r}, which is none"


def check_images(root: Path) -> Iterator[str]:
    """Problems of the Dockerfile, the compose file and the manifests, as they stand."""
    found: list[tuple[str, str]] = []
    try:
        for path in sorted((root / "infra").rglob("*Dockerfile*")):
            if path.is_file():
                found += [(f"{path.relative_to(root)}:{line}", image) for line, image in in_dockerfile(path)]
        values, _ = env_file(root / "infra" / ".env.example")
        compose = root / "infra" / "compose.yaml"
        for number, line in enumerate(compose.read_text().splitlines(), 1):
            if match := re.match(r"\s*image:\s*(\S+)", line):
                found.append((f"{compose.relative_to(root)}:{number}", interpolate(match[1], values)))
        for path in sorted((root / "infra" / "kubernetes").rglob("*.yaml")):
            where = str(path.relative_to(root))
            found += [(where, image) for document in documents(path) for image in in_manifest(document)]
    except (InvalidError, OSError) as error:
        yield str(error)
        return
    for where, image in found:
        if problem := problem_with(image):
            yield f"{where}: image {image} {problem}"


def in_dockerfile(path: Path) -> Iterator[tuple[int, str]]:
    """(line, image) of what a Dockerfile takes from elsewhere; build arguments by their defaults."""
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := re.match(r"#\s*syntax\s*=\s*(\S+)", line):
            yield number, match[1]
        elif match := re.match(r"ARG\s+(\w+)=(\S+)", line, re.IGNORECASE):
            arguments.setdefault(match[1], match[2])
        elif match := re.match(r"FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, re.IGNORECASE):
            image = re.sub(r"\$\{?(\w+)\}?", lambda name: arguments.get(name[1], name[0]), match[1])
            if image not in stages and image != "scratch":
                yield number, image
            stages |= {match[2]} if match[2] else set()
        elif (match := re.search(r"--(?:from|mount=\S*from)=([^\s,]+)", line)) and match[1] not in stages:
            yield number, match[1]


def in_manifest(value: object) -> Iterator[str]:
    """Images anywhere in a manifest: what `image` names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str):
                yield inner
            else:
                yield from in_manifest(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from in_manifest(inner)
