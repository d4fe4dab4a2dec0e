"""Addresses of the page: each reads its request, gives work to a lane, and answers."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader

from pcakd.errors import NotFoundError, PcakdError, TransientError, UsageError
from pcakd.ui import handover
from pcakd.ui.compare import ComparedPair, Comparisons, shuffled
from pcakd.ui.full import FullFiles
from pcakd.ui.gallery import EXAMPLES, Gallery, example, thumb
from pcakd.ui.guard import UPLOADS, Guard, TooLargeError
from pcakd.ui.kept import Kept, KeptPhoto
from pcakd.ui.lane import Lane, OvertakenError
from pcakd.ui.options import PageOptions
from pcakd.ui.services import PageServices, needed, open_services
from pcakd.ui.setting import Setting, checked_model, knobs, read_setting
from pcakd.ui.studio import Studio, screen_jpeg

JPEG = "image/jpeg"


@dataclass
class Desk:
    """What all requests share."""

    options: PageOptions
    kept: Kept
    gallery: Gallery
    studio: Studio
    services: PageServices | None
    comparisons: Comparisons = field(default_factory=Comparisons)
    reading: Lane = field(default_factory=lambda: Lane("reading"))
    stylizing: Lane = field(default_factory=lambda: Lane("stylizing"))
    asking: Lane = field(default_factory=lambda: Lane("asking"))

    async def setting(self, request: Request) -> tuple[Setting, dict[str, Any]]:
        """What a request wants, and all that it says."""
        record = await json_of(request)
        return read_setting(record, self.kept, self.options.models), record


def make_app(options: PageOptions, password: str = "") -> tuple[Guard, Desk]:
    """The page as an ASGI application, and what its requests share.

    Its temporary folder is there until the application's lifespan ends.
    """
    kept = Kept(max_upload=options.max_upload, max_pixels=options.max_pixels)
    gallery = Gallery(options.photos, max_upload=options.max_upload, max_pixels=options.max_pixels)
    desk = Desk(options, kept, gallery, Studio(kept), open_services())
    full = FullFiles(desk.studio, desk.stylizing, lambda error: told(error)[1])
    token = secrets.token_urlsafe(24)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm_up(desk))
        try:
            yield
        finally:
            warming.cancel()
            for lane in (desk.reading, desk.stylizing, desk.asking):
                lane.close()
            kept.close()

    app = FastAPI(title="pcakd", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.mount("/static", StaticFiles(directory=Path(str(resources.files("pcakd") / "ui" / "static"))))
    app.add_exception_handler(Exception, _refuse)
    app.add_exception_handler(PcakdError, _refuse)
    _add_page(app, desk, token)
    _add_photos(app, desk)
    _add_pictures(app, desk, full)
    _add_handing_over(app, desk)
    _add_comparing(app, desk)
    return Guard(app, options, password, token), desk


async def _warm_up(desk: Desk) -> None:
    """What fails here fails again, and is told, when a picture is asked for."""
    with suppress(Exception):
        await desk.stylizing.do(partial(desk.studio.warm_up, desk.options.models[0]))


def _add_page(app: FastAPI, desk: Desk, token: str) -> None:
    template = Environment(loader=PackageLoader("pcakd", "ui"), autoescape=True).get_template("page.html.j2")

    @app.get("/")
    async def page() -> HTMLResponse:
        text = template.render(
            token=token,
            voter=secrets.token_urlsafe(16),
            models=desk.options.models,
            knobs=knobs(),
            examples=list(EXAMPLES),
            photos=desk.options.photos,
            max_upload=desk.options.max_upload,
            pipeline=desk.services is not None,
        )
        return HTMLResponse(text, headers={"cache-control": "no-store"})

    @app.get("/api/health")
    async def health() -> dict[str, int]:
        return {"waiting": desk.stylizing.waiting, "reading": desk.reading.waiting}

    @app.get("/api/models")
    async def models() -> dict[str, list[str]]:
        return {"models": await desk.asking.do(needed(desk.services).models)}


def _add_photos(app: FastAPI, desk: Desk) -> None:
    kept, gallery = desk.kept, desk.gallery

    @app.post(UPLOADS)
    async def upload(request: Request, name: str = "photo") -> dict[str, Any]:
        path = kept.new_file()
        try:
            with path.open("wb") as file:
                async for piece in request.stream():
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return described(await desk.reading.do(partial(kept.add, path, name)))

    @app.post("/api/take")
    async def take(request: Request) -> dict[str, Any]:
        record = await json_of(request)
        key = str(record.get("key", ""))
        return described(await desk.reading.do(partial(taken, desk, key, bool(record.get("example")))))

    @app.get("/api/photos/{id}")
    async def screen(id: str) -> Response:
        photo = kept.get(id)
        return _picture(await desk.reading.do(lambda: screen_jpeg(photo.screen)))

    @app.get("/api/gallery")
    async def listing(folder: str = "", after: str = "") -> dict[str, Any]:
        return (await desk.asking.do(partial(gallery.page, folder, after)))._asdict()

    @app.get("/api/gallery/thumb")
    async def small(key: str) -> Response:
        return _picture(await desk.reading.do(partial(gallery.thumb, key)))

    @app.get("/api/examples/{name}")
    async def small_example(name: str) -> Response:
        path = example(name)
        return _picture(await desk.reading.do(lambda: thumb(path.read_bytes(), name, kept.max_pixels)))


def taken(desk: Desk, key: str, is_example: bool) -> KeptPhoto:
    """A photo of the gallery, or an example, as if it had been uploaded; its place is where it lies."""
    if is_example:
        found = example(key)
        data, place = found.read_bytes(), str(found)
    else:
        data, place = desk.gallery.read(key)
    path = desk.kept.new_file()
    path.write_bytes(data)
    return desk.kept.add(path, Path(place).name, place)


def _add_pictures(app: FastAPI, desk: Desk, full: FullFiles) -> None:
    @app.post("/api/preview")
    async def preview(request: Request) -> Response:
        setting, record = await desk.setting(request)
        whose = f"preview of {record.get('voter', '')}" if record.get("voter") else None
        return _picture(await desk.stylizing.do(partial(desk.studio.screen, setting), whose=whose))

    @app.post("/api/full")
    async def begin(request: Request) -> dict[str, str]:
        setting, _ = await desk.setting(request)
        desk.stylizing.check_room()
        return {"file": full.begin(setting)}

    @app.get("/api/full/{id}")
    async def state(id: str) -> dict[str, Any]:
        return full.file(id).state()

    @app.get("/api/full/{id}/file")
    async def file(id: str) -> Response:
        found = full.file(id)
        if found.path is None or not found.path.exists():
            raise NotFoundError("this file is not ready, or has gone")
        return FileResponse(found.path, media_type="application/octet-stream", headers=_attached(found.name))


def _add_handing_over(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/handover")
    async def hand_over(request: Request) -> dict[str, str]:
        setting, record = await desk.setting(request)
        source, dest = (str(record.get(name) or f"PUT-{name.upper()}-HERE") for name in ("source", "dest"))
        try:
            job = handover.job_file(handover.job_values(setting, source, dest))
        except UsageError as error:
            job = f"# {error}\n"
        return {"command": handover.command_line(setting), "python": handover.snippet(setting), "job": job}

    @app.post("/api/cube")
    async def cube(request: Request) -> Response:
        setting, _ = await desk.setting(request)
        made = await desk.stylizing.do(partial(desk.studio.cube, setting))
        return Response(made.data, media_type="text/plain", headers=_attached(made.name))

    @app.post("/api/bulk")
    async def bulk(request: Request) -> dict[str, str]:
        services = needed(desk.services)
        setting, record = await desk.setting(request)
        values = handover.job_values(setting, str(record.get("source", "")), str(record.get("dest", "")))
        styles = [(one.name, desk.kept.data(one)) for one in setting.styles]
        return (await desk.asking.do(lambda: services.start_bulk(values, styles)))._asdict()


def _add_comparing(app: FastAPI, desk: Desk) -> None:
    comparisons = desk.comparisons

    @app.post("/api/compare")
    async def compare(request: Request) -> dict[str, Any]:
        setting, record = await desk.setting(request)
        first, second = (checked_model(record.get(name), desk.options.models) for name in ("first", "second"))
        if first == second:
            raise UsageError("choose two different models to compare")
        blind = bool(record.get("blind"))
        models = shuffled((first, second)) if blind else (first, second)
        left, right = [
            await desk.stylizing.do(partial(desk.studio.screen, setting.with_model(model))) for model in models
        ]
        style = " + ".join(one.name for one in setting.styles)
        pair = ComparedPair(
            content=setting.content.name, style=style, models=models, blind=blind, pictures=(left, right)
        )
        return {"pair": comparisons.add(pair), "models": None if blind else models}

    @app.get("/api/compare/{id}/{side}")
    async def side(id: str, side: int) -> Response:
        if side not in (0, 1):
            raise NotFoundError("a pair has two sides")
        return _picture(comparisons.pair(id).pictures[side])

    @app.post("/api/vote")
    async def vote(request: Request) -> dict[str, Any]:
        record = await json_of(request)
        voter = str(record.get("voter"))
        pair = comparisons.vote(voter, str(record.get("pair")), str(record.get("choice")))
        return {"models": pair.models, "counts": comparisons.counts(voter)}

    @app.post("/api/votes/save")
    async def save(request: Request) -> dict[str, str]:
        services, voter = needed(desk.services), str((await json_of(request)).get("voter"))
        votes = list(comparisons.votes(voter))
        if not votes:
            raise UsageError("there are no votes yet")
        made = await desk.asking.do(lambda: services.save_votes(votes))
        comparisons.forget(voter)
        return made._asdict()


async def json_of(request: Request) -> dict[str, Any]:
    """A request's JSON object. Raises UsageError for anything else."""
    try:
        record = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise UsageError("this is no JSON") from None
    if not isinstance(record, dict):
        raise UsageError("this is no JSON object")
    return record


def described(photo: KeptPhoto) -> dict[str, Any]:
    """A photo for the page."""
    height, width = photo.screen.size
    return {"id": photo.id, "name": photo.name, "size": photo.size[::-1], "screen": [width, height]} | {
        "notes": photo.notes
    }


def told(error: Exception) -> tuple[int, str]:
    """(HTTP status, one line) of an error."""
    match error:
        case NotFoundError():
            return 404, str(error)
        case TooLargeError():
            return 413, str(error)
        case OvertakenError():
            return 409, str(error)
        case UsageError():
            return 400, str(error)
        case TransientError():
            return 503, str(error)
        case MemoryError():
            return 500, "this does not fit in memory; take a smaller photo"
    words = str(error) if isinstance(error, PcakdError) else f"{type(error).__name__}: {error}"
    return 500, " ".join(words.split())[:300]


async def _refuse(request: Request, error: Exception) -> Response:
    status, words = told(error)
    return JSONResponse({"error": words}, status, headers={"retry-after": "2"} if status == 503 else None)


def _picture(data: bytes) -> Response:
    return Response(data, media_type=JPEG, headers={"cache-control": "private, max-age=600"})


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
