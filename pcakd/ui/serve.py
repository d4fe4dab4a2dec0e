"""The page's server on its socket."""

import socket
from collections.abc import Callable

import uvicorn

from pcakd.environment import setting
from pcakd.errors import UsageError
from pcakd.student.checkpoint import find_model
from pcakd.ui.options import PageOptions
from pcakd.ui.routes import make_app

PASSWORD = "PCAKD_UI_PASSWORD"


def serve(options: PageOptions, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted. Raises UsageError, NotFoundError, AccessError before anything is served.

    say: is told warnings, and the address once it answers.
    """
    password = setting(PASSWORD)
    if options.user and not password:
        raise UsageError(f"user is {options.user}: set {PASSWORD} to the password")
    find_model(options.models[0])
    listening = bind(options)
    guard, desk = make_app(options, password)
    try:
        desk.gallery.check()
    except BaseException:
        desk.kept.close()
        listening.close()
        raise
    if not options.loopback and not options.user:
        say(f"pcakd: warning: whoever reaches {options.host} can use this page; --user asks for a password")
    host, port = listening.getsockname()[:2]
    say(f"The page: http://{f'[{host}]' if ':' in host else host}:{port}   (Ctrl-C ends it)")
    config = uvicorn.Config(
        guard, log_level="warning", access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=5
    )
    uvicorn.Server(config).run(sockets=[listening])


def bind(options: PageOptions) -> socket.socket:
    """A socket on the asked host and port. Raises UsageError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
        return found
    except OSError as error:
        raise UsageError(
            f"host {options.host}, port {options.port}: cannot be listened on ({error.strerror or error}); "
            "choose another --port"
        ) from None
