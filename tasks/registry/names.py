"""Names in the registry, shared by those who write and those who read it."""

CHALLENGER, CHAMPION = "challenger", "champion"
DIGEST_TAG = "pcakd.digest"
VERIFIED_TAG = "pcakd.verified"
REASON_TAG = "pcakd.reason"
"""Of a version: why its last try for champion ended as it did."""
METRIC_TAG = "pcakd.metric."
BASELINE_TAG = "pcakd.baseline."
"""Beginnings of a version's tags: its scores, and the baselines' of the same report."""
EVALUATION_TAG = "pcakd.evaluation"
TEACHER_TAG, CHANNELS_TAG, PHOTOS_TAG, GENERATION_TAG, RECIPE_TAG = (
    "pcakd.teacher",
    "pcakd.channels",
    "pcakd.photos",
    "pcakd.generation",
    "pcakd.recipe",
)
"""Of a version: what it was distilled from, its widths, on how many photos of which generation, how long."""
PICTURE_TAG = "pcakd.picture"
"""Of a version: the MLflow run that has a picture of what it does, and the picture's path there: "RUN/PATH"."""
PAGE_TAG, SHADOW_TAG = "pcakd.page", "pcakd.shadow"
"""Of a version: the page of the MLflow run that registered it last; where the page of its shadow run is."""
DESCRIBED_TAG = "pcakd.described"
"""Of a version and a model: digest of the description that pcakd wrote, so that a person's own is left alone."""
CHAMPION_EVENT = "pcakd.champion.promoted"
"""Prefect's event when a flow has made a version champion; its payload: model, version, reason."""
MOVE_TAG = "pcakd.move."
"""Of a registered model: beginning of the numbered moves of its history."""
CHECKPOINT_FILE = "model.safetensors"
EXAMPLE_FILES = ("content.png", "style.png", "expected.png")


def registered_name(backbone: str) -> str:
    """The registered model of a backbone: "pcakd-vgg", "pcakd-mobilenet"."""
    return f"pcakd-{backbone}"
