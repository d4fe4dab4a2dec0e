"""Names in the registry, shared by those who write and those who read it."""

CHALLENGER, CHAMPION = "challenger", "champion"
DIGEST_TAG = "pcakd.digest"
VERIFIED_TAG = "pcakd.verified"
CHECKPOINT_FILE = "model.safetensors"
EXAMPLE_FILES = ("content.png", "style.png", "expected.png")


def registered_name(backbone: str) -> str:
    """The registered model of a backbone: "pcakd-vgg", "pcakd-mobilenet"."""
    return f"pcakd-{backbone}"
