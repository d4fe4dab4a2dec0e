"""The spectrum of fitted eigenbases for people: a table and a plot."""

import csv
import io

from pcakd.eigenbases.pca import Eigenbases
from pcakd.student.network import LEVELS


def spectrum_csv(bases: Eigenbases) -> str:
    """One row an eigenvector: level, rank (1 is the leading one), eigenvalue, its share of the variance, cumulative
    explained variance, the same for a PCA of each photo alone (mean over sampled photos), whether it is kept."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["level", "rank", "eigenvalue", "share", "explained", "own", "kept"])
    for level in range(LEVELS):
        values = bases.spectra[level].tolist()
        total = sum(values)
        columns = zip(values, bases.explained[level].tolist(), bases.own[level].tolist(), strict=True)
        for i, (value, cumulative, own) in enumerate(columns):
            kept = int(i < bases.channels[level])
            writer.writerow(
                [level, i + 1, f"{value:.9g}", f"{value / total:.9f}", f"{cumulative:.9f}", f"{own:.9f}", kept]
            )
    return buffer.getvalue()


def spectrum_png(bases: Eigenbases, *, title: str) -> bytes:
    """Cumulative explained variance against the number of eigenvectors, a line a level, the width kept marked.

    Dashed: what a PCA of each photo alone would explain.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for level, (explained, k) in enumerate(zip(bases.explained, bases.channels, strict=True)):
        share = float(explained[k - 1])
        (line,) = axes.plot(range(1, len(explained) + 1), explained.tolist(), linewidth=1.5)
        own = bases.own[level].tolist()
        axes.plot(range(1, len(own) + 1), own, "--", color=line.get_color(), linewidth=0.8)
        label = f"level {level}: {k} of {len(explained)} keep {share:.1%}"
        axes.plot([k], [share], "o", color=line.get_color(), label=label)
        axes.vlines(k, 0, share, color=line.get_color(), linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("eigenvectors kept")
    axes.set_ylabel("explained variance (dashed: PCA of each photo alone)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
