"""The best teacher that can be had at once: real weights if they are here or near, else a built-in student."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from pcakd.environment import setting
from pcakd.errors import PcakdError
from pcakd.teacher import load_teacher
from pcakd.teacher.catalogue import TEACHERS

SMALL = "mobilenet-v2"
"""Its weights are a download of 14 MB; VGG-19's are 575 MB."""
CONNECT_S = 3.0


def choose_teacher() -> tuple[str, str]:
    """(name or file of the teacher, why this one).

    PCAKD_TEACHER as it is; weights in the folder PCAKD_TEACHERS or in torchvision's cache; a small
    download if the network allows it; else the built-in MobileNet student.
    """
    if given := setting("PCAKD_TEACHER"):
        return given, "PCAKD_TEACHER names it"
    if setting("PCAKD_TEACHERS"):
        for name in ("mobilenet-v1", *TEACHERS):
            if not _downloads(name) and _loads(name):
                return name, "its weights are in the folder that PCAKD_TEACHERS names"
    for name in (SMALL, "vgg19"):
        if _cached(name) and _loads(name):
            return name, "its weights are in torchvision's cache"
    if _reachable(SMALL) and _loads(SMALL):
        return SMALL, "its weights were downloaded"
    return (
        "mobilenet",
        "no teacher's weights are here and the network gives none: the built-in student stands in; "
        "for a real one set PCAKD_TEACHER to a safetensors file",
    )


def _loads(name: str) -> bool:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    try:
        load_teacher(name)
        return True
    except PcakdError:
        return False
    finally:
        socket.setdefaulttimeout(before)


def _downloads(name: str) -> bool:
    """Whether loading a name would leave this machine."""
    return TEACHERS[name].torchvision is not None


def _url(name: str) -> str:
    import torchvision

    weights = TEACHERS[name].torchvision
    assert weights is not None
    return torchvision.models.get_weight(weights).url


def _cached(name: str) -> bool:
    import torch

    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(_url(name)).path).name).is_file()


def _reachable(name: str) -> bool:
    try:
        socket.create_connection((urlsplit(_url(name)).hostname or "", 443), timeout=CONNECT_S).close()
        return True
    except OSError:
        return False
