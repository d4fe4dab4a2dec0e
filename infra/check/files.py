"""Read the infrastructure's files."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?])([^}]*))?\})")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InvalidError(Exception):
    """A file that cannot be read as what it should be; the text is the problem."""


def documents(path: Path) -> list[dict]:
    """The YAML documents of a file, empty ones left out. Raises InvalidError."""
    try:
        found = [document for document in yaml.load_all(path.read_text(), Loader=_LOADER) if document is not None]
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidError(f"{path}: cannot be read ({reason})") from None
    if not all(isinstance(document, dict) for document in found):
        raise InvalidError(f"{path}: is not a mapping")
    return found


def env_file(path: Path) -> tuple[dict[str, str], set[str]]:
    """(values that are set, names that stand in comments as `# NAME=`) of an environment file. Raises InvalidError."""
    values, commented = {}, set()
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise InvalidError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if match := re.match(r"(# )?([A-Z][A-Z0-9_]*)=(.*)$", line):
            if match[2] in values or match[2] in commented:
                raise InvalidError(f"{path}:{number}: {match[2]} stands there twice")
            if match[1]:
                commented.add(match[2])
            else:
                values[match[2]] = match[3]
        elif line.strip() and not line.startswith("#"):
            raise InvalidError(f"{path}:{number}: is neither NAME=VALUE nor a comment")
    return values, commented


def variables_in(text: str) -> set[str]:
    """Names that a compose file interpolates."""
    return {match[2] for match in _VARIABLE.finditer(text) if match[2]}


def interpolate(text: str, values: dict[str, str]) -> str:
    """A compose file's text with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` filled in."""

    def fill(match: re.Match) -> str:
        if match[1]:
            return "$"
        given = values.get(match[2], "")
        return given or (match[4] if "-" in (match[3] or "") else "")

    return _VARIABLE.sub(fill, text)


def kustomizations(root: Path) -> Iterator[Path]:
    """Folders of the manifests that hold a kustomization.yaml."""
    for path in sorted((root / "infra" / "kubernetes").rglob("kustomization.yaml")):
        yield path.parent
