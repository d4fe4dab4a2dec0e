"""A model and a style for tests of clips."""

import pytest
from skimage.data import coffee

from pcakd import Stylizer


@pytest.fixture(scope="package")
def stylizer() -> Stylizer:
    return Stylizer.load("mobilenet", device="cpu")


@pytest.fixture(scope="package")
def style(stylizer):
    return stylizer.style(coffee(), render="look")


@pytest.fixture(autouse=True)
def quiet_encoders(monkeypatch):
    """SVT-AV1 tells its settings on standard error."""
    monkeypatch.setenv("SVT_LOG", "1")
