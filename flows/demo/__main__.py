"""`make demo`: real photographs, stylized with the built-in models; prints where the pictures are."""

from pathlib import Path

import click

from flows.demo.photos import demo_photo

PAIRS = [("temple", "rocket"), ("temple", "flower"), ("coffee", "temple"), ("cat", "rocket")]
"""(content, style)"""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
def main(out: Path) -> None:
    """Stylize photographs that came with the installed packages."""
    from pcakd import Stylizer
    from pcakd.checkpoint import builtin_models
    from pcakd.files import write_atomic
    from pcakd.grid import photo_grid
    from pcakd.images import encode_photo, read_photo, to_image

    models = list(builtin_models())
    stylizers = {name: Stylizer.load(name) for name in models}
    rows = []
    for content, style in PAIRS:
        row = [to_image(read_photo(demo_photo(name)).rgb) for name in (content, style)]
        for name, stylizer in stylizers.items():
            result = stylizer.stylize(demo_photo(content), demo_photo(style))
            path = out / f"{content}-{style}-{name}.jpg"
            write_atomic(path, encode_photo(result, "JPEG"))
            click.echo(f"{content} in the style of {style}, by {name}: {path}")
            row.append(result)
        rows.append(row)
    grid = out / "before-after.jpg"
    write_atomic(grid, encode_photo(photo_grid(rows, header=["content", "style", *models]), "JPEG", quality=90))
    click.echo(f"\nAll side by side: {grid}")


if __name__ == "__main__":
    main()
