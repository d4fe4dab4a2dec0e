import socket
import subprocess
import sys
import threading

from tasks.cluster import head
from tests.command import ROOT


def test_a_head_that_answers_is_left_alone_and_one_that_is_gone_is_said_once(monkeypatch):
    monkeypatch.setattr(head, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(head, "GONE_S", 0.2)
    over, gone = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        watch = threading.Thread(target=head._watch, args=(address, over, gone.append))
        watch.start()
        watch.join(1)
        assert watch.is_alive()
        assert not gone
    watch.join(10)
    assert gone == [address]


def test_a_process_whose_head_is_gone_ends_in_one_line_and_exit_code_4():
    code = (
        "import time; from tasks.cluster import head; head.LOOK_EVERY_S = head.GONE_S = 0.05\n"
        "with head.watched_head('127.0.0.1:9'): time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "pcakd: the Ray cluster's head at 127.0.0.1:9 is gone; the same command goes on\n"
