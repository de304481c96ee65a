"""Plots of a benchmark's scores by class."""

from workflow_scripts.report.by_class import KINDS, ByClass
from workflow_scripts.report.figures import COLOURS, DASHES, PATTERNS, SYMBOLS, Figure, finished, plain

# From dark to light, so that the order shows without colour (after cividis, made for colour-blind readers).
SEQUENCE = ("#00204d", "#31446b", "#5a6b87", "#7e8ba0", "#a5b1bf", "#c9d0d8", "#f2c14e", "#d9822b", "#bdbdbd")
# Where zero is drawn on a logarithmic axis.
ZERO_AT = 0.5


def class_figures(benchmark: str, found: ByClass) -> dict[str, Figure]:
    """All plots of a benchmark by name, without those that would be empty."""
    drawn = {"trained": _trained(found), "errors": _errors(found), "confusion": _confusion(found)}
    drawn["reliability"] = _reliability(found)
    return {f"{name}-{benchmark}": figure for name, figure in drawn.items() if figure is not None}


def _trained(found: ByClass) -> Figure | None:
    """Accuracy of each class by its number of training images."""
    import plotly.graph_objects as go

    if not any(one.seen for one in found.classes):
        return None
    figure = go.Figure(
        go.Scatter(
            x=[one.seen or ZERO_AT for one in found.classes],
            y=[round(100 * one.share, 2) for one in found.classes],
            text=[plain(one.name) for one in found.classes],
            customdata=[[one.seen, one.correct, one.images] for one in found.classes],
            mode="markers",
            marker={"size": 8, "color": COLOURS[0], "opacity": 0.55},
            hovertemplate="%{text}<br>%{customdata[0]:,} training images<br>"
            "%{customdata[1]} of %{customdata[2]} correct<extra></extra>",
        )
    )
    most = max(one.seen for one in found.classes)
    powers = len(str(most))
    ticks = [ZERO_AT, *(10**power for power in range(powers + 1))]
    figure.update_xaxes(
        title="training images of the species",
        type="log",
        tickvals=ticks,
        ticktext=["0", *ticks[1:]],
        # In powers of ten, from below zero's place, so that at least two ticks are visible.
        range=[-0.5, powers],
    )
    figure.update_yaxes(title="accuracy, percent", range=[-4, 104])
    return finished(figure, 340)


def _errors(found: ByClass) -> Figure | None:
    """Each model's predictions by taxonomic distance, in percent of all images."""
    import plotly.graph_objects as go

    if not found.errors:
        return None
    figure = go.Figure()
    sums = {model: sum(kinds.values()) for model, kinds in found.errors.items()}
    for number, kind in enumerate(KINDS):
        shares = [100 * kinds.get(kind, 0) / sums[model] for model, kinds in found.errors.items()]
        if any(shares):
            figure.add_bar(
                name=kind,
                y=[plain(model) for model in found.errors],
                x=[round(share, 2) for share in shares],
                orientation="h",
                marker={
                    "color": SEQUENCE[number],
                    "pattern": {"shape": PATTERNS[number % len(PATTERNS)], "solidity": 0.12},
                    "line": {"width": 1, "color": "#fff"},
                },
                text=[f"{share:.0f}" if share >= 4 else "" for share in shares],
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": "#fff" if number < 4 else "#111"},
                hovertemplate=f"{kind}: %{{x:.1f}} %",
            )
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    figure.update_xaxes(title="percent of images", range=[0, 100])
    figure.update_yaxes(autorange="reversed", automargin=True)
    return finished(figure, 190 + 38 * len(found.errors))


def _confusion(found: ByClass) -> Figure | None:
    """Confusion matrix of taxa, in percent of each true taxon's images."""
    import plotly.graph_objects as go

    if found.confusion is None:
        return None
    taxa = [plain(name) for name in found.confusion.taxa]
    shares = [[100 * images / max(1, sum(row)) for images in row] for row in found.confusion.images]
    figure = go.Figure(
        go.Heatmap(
            x=taxa,
            y=taxa,
            z=[[round(share, 1) for share in row] for row in shares],
            customdata=found.confusion.images,
            text=[[f"{share:.0f}" if share >= 1 else "" for share in row] for row in shares],
            texttemplate="%{text}",
            textfont={"size": 10},
            colorscale=[[0, "#ffffff"], [0.5, "#6baed6"], [1, "#08306b"]],
            zmin=0,
            zmax=100,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "percent"}, "thickness": 12},
            hovertemplate="%{y} predicted as %{x}: %{customdata:,} images, %{z} %<extra></extra>",
        )
    )
    figure.update_xaxes(title="predicted", tickangle=-45, automargin=True)
    figure.update_yaxes(title="true", autorange="reversed", automargin=True)
    return finished(figure, 240 + 20 * len(taxa))


def _reliability(found: ByClass) -> Figure | None:
    """Reliability diagram: each model's accuracy by confidence."""
    import plotly.graph_objects as go

    if not found.reliability:
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", name="perfect calibration", line={"color": "#808080", "dash": "dot"}
    )
    for number, (model, bins) in enumerate(found.reliability.items()):
        figure.add_scatter(
            name=plain(model),
            x=[round(100 * one.confidence, 2) for one in bins],
            y=[round(100 * one.share, 2) for one in bins],
            customdata=[one.images for one in bins],
            mode="lines+markers",
            line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)]},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
            hovertemplate="%{customdata:,} images: confidence %{x:.0f} %, accuracy %{y:.0f} %",
        )
    figure.update_xaxes(title="confidence, percent", range=[-2, 102])
    figure.update_yaxes(title="accuracy, percent", range=[-2, 102])
    return finished(figure, 340)
