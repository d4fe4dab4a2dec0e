"""What a start of the page says, and to whom it is open."""

import tempfile

import pytest

from pcakd.errors import UsageError
from pcakd.ui.options import PageOptions
from pcakd.ui.serve import PASSWORD, serve


@pytest.fixture
def started(tmp_path, monkeypatch):
    """What a start says; nothing is served."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the page's folder goes with the test's
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: [one.close() for one in sockets])

    def start(**options) -> list[str]:
        lines: list[str] = []
        serve(PageOptions(port=0, **options), lines.append)
        return lines

    return start


def test_it_is_this_machines_alone_unless_told_otherwise_and_then_warns(started, monkeypatch):
    [line] = started()
    assert line.startswith("The page: http://127.0.0.1:")
    warning, _ = started(host="0.0.0.0")
    assert warning == "pcakd: warning: whoever reaches 0.0.0.0 can use this page; --user asks for a password"
    monkeypatch.setenv(PASSWORD, "open sesame")
    assert len(started(host="0.0.0.0", user="ada")) == 1


def test_a_user_without_a_password_and_a_name_with_a_colon_are_refused(started, monkeypatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(UsageError, match=f"set {PASSWORD}"):
        started(user="ada")
    with pytest.raises(UsageError, match="without a colon"):
        started(user="ada:lovelace")
