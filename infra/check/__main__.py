"""`python -m infra.check [FOLDER]`: print what is wrong with the infrastructure; exit code 1 if anything is."""

import sys
from pathlib import Path

from infra.check.compose import check_compose
from infra.check.images import check_images
from infra.check.manifests import check_manifests
from infra.check.settings import check_settings

CHECKS = (check_images, check_compose, check_manifests, check_settings)


def main(words: list[str]) -> int:
    """Exit code."""
    if len(words) > 1:
        print("usage: python -m infra.check [FOLDER]", file=sys.stderr)
        return 2
    root = Path(words[0]) if words else Path(__file__).resolve().parents[2]
    problems = [problem for check in CHECKS for problem in check(root)]
    for problem in problems:
        print(problem)
    print(f"infra: {len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "infra: all checks passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
