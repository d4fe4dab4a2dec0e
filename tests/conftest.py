"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real photos and weights: PCAKD_ASSETS, else ../shared/assets beside the project."""
    folder = Path(os.environ.get("PCAKD_ASSETS") or ROOT.parent / "shared" / "assets")
    if not (folder / "README.md").is_file():
        message = f"no assets in {folder}: set PCAKD_ASSETS to the folder with photos_small/, teachers/, ..."
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
