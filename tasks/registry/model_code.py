"""The registered model's own code: MLflow stores this file with the model and runs it when it is loaded.

model = mlflow.pyfunc.load_model("models:/pcakd-vgg@champion")
model.predict(pandas.DataFrame({"content": [jpeg], "style": [jpeg]}), params={"strength": 0.8})["image"]
"""

import base64
import binascii
import hashlib
import logging
import os
import re
from collections import OrderedDict
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

# An input that fits no schema is answered with a sentence, not with the photo.
os.environ.setdefault("MLFLOW_DISABLE_SCHEMA_DETAILS", "true")

STYLES_KEPT = 32
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
NAMES = ("transform", "balance", "strength", "smoothing", "compat", "depth", "colour", "render", "format", "quality")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+={0,2}\s*")


class StudentModel(PythonModel):
    """Encoded photos in, encoded photos out."""

    def load_context(self, context) -> None:  # MLflow passes it by this very name
        from pcakd.stylize.stylizer import Stylizer

        self.stylizer = Stylizer.load(context.artifacts["checkpoint"])
        self.styles: OrderedDict[str, Any] = OrderedDict()
        logging.getLogger("mlflow.models.utils").addFilter(_refuse_unknown)

    def predict(self, context, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Columns content and style, encoded photos as bytes or base64 text → column image, encoded photos as bytes.

        params: transform, balance, strength, smoothing, compat, depth, colour, render as in `pcakd stylize`; format:
        one of FORMATS; quality: 1..100, of JPEG, WebP and AVIF. Raises MlflowException in one sentence that names
        the row.
        """
        from pcakd.errors import PcakdError
        from pcakd.photos.images import read_photo
        from pcakd.photos.write import check_writable, encode
        from pcakd.stylize.stylizer import StylizeOptions

        chosen = dict(params or {})
        if unknown := sorted(set(chosen) - set(NAMES)):
            raise _wrong(_unknown(unknown))
        image_format, quality = chosen.pop("format", "JPEG"), chosen.pop("quality", 95)
        if image_format not in FORMATS:
            raise _wrong(f"format is {image_format!r}: use {', '.join(FORMATS)}")
        if not isinstance(quality, int | float) or not 1 <= quality <= 100 or quality != int(quality):
            raise _wrong(f"quality is {quality!r}: give a whole number from 1 to 100")
        for column in ("content", "style"):
            if column not in model_input:
                raise _wrong(f"{column} is missing: give the columns content and style")
        images = []
        row = 0
        try:
            options = StylizeOptions(**chosen)
            for row, (content, style) in enumerate(zip(model_input["content"], model_input["style"], strict=True), 1):
                name = f"content in row {row}"
                photo = read_photo(_encoded(content, name), name=name, depth=options.depth, gamut=options.colour)
                check_writable(photo, image_format, name)
                known = self._style(_encoded(style, f"style in row {row}"), row, self.stylizer.rendering(options))
                result = self.stylizer.render(photo, known, options, overwrite=True)
                images.append(encode(result, image_format, quality=int(quality), name=name).data)
        except PcakdError as error:
            raise _wrong(str(error)) from None
        except (MemoryError, RuntimeError) as error:  # PyTorch's word for the same
            raise MlflowException(f"row {row} does not fit in memory or failed: {type(error).__name__}") from None
        return pd.DataFrame({"image": images})

    def _style(self, photo: bytes, row: int, render: Any) -> Any:
        from pcakd.photos.images import read_photo

        key = hashlib.sha256(photo).hexdigest() + render
        if key not in self.styles:
            self.styles[key] = self.stylizer.style(read_photo(photo, name=f"style in row {row}"), render=render)
            if len(self.styles) > STYLES_KEPT:
                self.styles.popitem(last=False)
        return self.styles[key]


def _encoded(value: Any, name: str) -> bytes:
    """A photo's bytes, whether they came as bytes or as base64 text, which depends on the way a request was written."""
    if isinstance(value, str):
        value = value.rpartition(",")[2].encode() if value.startswith("data:") else value.encode()
        if not _BASE64.fullmatch(value):
            raise _wrong(f"{name} is text, and no base64 of a photo")
    if not isinstance(value, bytes | bytearray | memoryview) or not len(value):
        raise _wrong(f"{name} is empty: give an encoded photo, as bytes or base64 text")
    value = bytes(value)
    if _BASE64.fullmatch(value):  # no photo's first bytes are letters alone
        try:
            return base64.b64decode(value)
        except binascii.Error:
            raise _wrong(f"{name} is text, and no base64 of a photo") from None
    return value


def _refuse_unknown(record: logging.LogRecord) -> bool:
    """MLflow drops parameters that it does not know with a warning that no client sees: this makes it an answer."""
    text = str(record.msg)
    if text.startswith("Unrecognized params") and all(f"'{name}'" in text for name in NAMES):
        raise _wrong(_unknown(re.findall(r"'([^']*)'", text.partition("]")[0])))
    return True


def _unknown(names: list[str]) -> str:
    return f"params has {', '.join(names)}: parameters are {', '.join(NAMES)}"


class _WrongError(MlflowException):
    """One sentence. MLflow's server puts all that was sent before an error's message: here it does not stay."""

    @property
    def message(self) -> str:
        return self._message

    @message.setter
    def message(self, text: str) -> None:
        self._message = text.rpartition("\nError: ")[2]


def _wrong(message: str) -> MlflowException:
    return _WrongError(message, error_code=INVALID_PARAMETER_VALUE)


set_model(StudentModel())
