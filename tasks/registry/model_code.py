"""The registered model's own code: MLflow stores this file with the model and runs it when it is loaded.

model = mlflow.pyfunc.load_model("models:/pcakd-vgg@champion")
model.predict(pandas.DataFrame({"content": [jpeg], "style": [jpeg]}), params={"strength": 0.8})["image"]
"""

import hashlib
from collections import OrderedDict
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

STYLES_KEPT = 32


class StudentModel(PythonModel):
    """Encoded photos in, encoded photos out."""

    def load_context(self, context) -> None:  # MLflow passes it by this very name
        from pcakd.stylize.stylizer import Stylizer

        self.stylizer = Stylizer.load(context.artifacts["checkpoint"])
        self.styles: OrderedDict[str, Any] = OrderedDict()

    def predict(self, context, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Columns content and style, encoded photos as bytes → column image, encoded photos as bytes.

        params: transform, balance, strength, smoothing, compat as in `pcakd stylize`; format "JPEG", "PNG" or "WEBP";
        quality.
        """
        from pcakd.errors import PcakdError
        from pcakd.photos.images import encode_photo
        from pcakd.stylize.stylizer import StylizeOptions

        chosen = dict(params or {})
        image_format, quality = chosen.pop("format", "JPEG"), int(chosen.pop("quality", 95))
        if image_format not in ("JPEG", "PNG", "WEBP"):
            raise MlflowException.invalid_parameter_value(f"format is {image_format!r}: use JPEG, PNG or WEBP")
        images = []
        try:
            options = StylizeOptions(**chosen)
            for content, style in zip(model_input["content"], model_input["style"], strict=True):
                result = self.stylizer.stylize(bytes(content), self._style(bytes(style)), options)
                images.append(encode_photo(result, image_format, quality=quality))
        except PcakdError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame({"image": images})

    def _style(self, photo: bytes) -> Any:
        key = hashlib.sha256(photo).hexdigest()
        if key not in self.styles:
            self.styles[key] = self.stylizer.style(photo)
            if len(self.styles) > STYLES_KEPT:
                self.styles.popitem(last=False)
        return self.styles[key]


set_model(StudentModel())
