"""`pcakd ui`."""

from importlib.util import find_spec
from typing import Any

import click

from pcakd.cli.options import field_options
from pcakd.errors import UsageError
from pcakd.ui.options import PageOptions

PACKAGES = ("fastapi", "uvicorn")


@click.command()
@field_options(PageOptions)
def ui(**declared: Any) -> None:
    """Open a page in the browser to see a style, tune it, compare models, and hand the setting over.

    It works without a network. Uploads stay in a temporary folder that is removed at the end.

    \b
    Examples:
      pcakd ui
      pcakd ui --photos s3://photos/2026 --model vgg --model models:/pcakd-vgg@champion
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UsageError(f'pcakd ui needs {" and ".join(missing)}, not installed here: pip install "pcakd[ui]"')
    options = PageOptions(**declared)
    from pcakd.ui.serve import serve

    serve(options, lambda line: click.echo(line, err=line.startswith("pcakd:")))
