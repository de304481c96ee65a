"""The page's plots, as plotly figures in plain JSON."""

import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.contracts import RANKS
from workflow_scripts.report.curves import Curves
from workflow_scripts.report.flow import ENDS, Link
from workflow_scripts.report.scores import STD, Scores
from workflow_scripts.report.treemap import Node

if TYPE_CHECKING:
    import plotly.graph_objects as go

Figure = dict[str, Any]

# Colours for colour-blind readers (after Okabe and Ito 2008), dark enough for lines on white. Each colour comes with a
# shape, a dash or a pattern as a second cue.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a08f00", "#56b4e9", "#6a51a3", "#8c6d4f")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")
CHANCE = "#8a4b00"
KEPT, LOST = "#0072b2", "#d55e00"
# Parts of a loss, by the suffix of the metric's name.
PARTS = {"biology": ("#009e73", "dash"), "replay": ("#d55e00", "dot")}
# Taxonomic classes in the treemap; those beyond the last colour are grey.
TAXA = ("#7fb3d9", "#f2b14b", "#66c2a5", "#e0a8c8", "#a6d3f0", "#f0996b", "#d8cf6a", "#b8a9d9", "#c9b49a")
GREY = "#aab6b0"
INVISIBLE = "rgba(0,0,0,0)"
# Height of a line of text in a diagram, pixels.
LABEL_HEIGHT = 20
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
# Panels of the training plot, by prefix of the metric's name; other metrics are in metrics.jsonl only.
PANELS = {
    "loss": "Loss",
    "val_loss": "Validation loss",
    "val_retrieval": "Validation: retrieval within the batch",
    "val_zero_shot": "Validation: zero-shot accuracy",
    "val_rank": "Validation: accuracy by rank",
    "lr": "Learning rate",
    "logit_scale": "Logit scale",
    "samples_per_second": "Samples per second",
}


def score_dots(scores: Scores, metric: str) -> Figure | None:
    """One metric by benchmark: a mark with an interval per model, and chance. None if no benchmark has the metric."""
    import plotly.graph_objects as go

    benchmarks = [name for name in scores.benchmarks if metric in scores.metrics(name)]
    if not benchmarks:
        return None
    figure = go.Figure()
    # Lines in the units of the axis: in print, where rows are lower, they stay within their row.
    chances = [
        (row, value)
        for row, name in enumerate(benchmarks)
        if (value := _percent(scores.chance(name, metric))) is not None
    ]
    figure.add_scatter(
        name="chance",
        x=[x for _, value in chances for x in (value, value, None)],
        y=[y for row, _ in chances for y in (row - 0.42, row + 0.42, None)],
        mode="lines",
        line={"width": 2, "color": CHANCE},
        hovertemplate="chance %{x:.1f} %<extra></extra>",
    )
    for number, model in enumerate(scores.models):
        bars = [_error_bar(scores, name, metric, model) for name in benchmarks]
        # The models of a benchmark are drawn below one another.
        shift = 0.7 * ((number + 0.5) / len(scores.models) - 0.5)
        figure.add_scatter(
            name=plain(model),
            x=[_percent(scores.value(name, metric, model)) for name in benchmarks],
            y=[row + shift for row in range(len(benchmarks))],
            mode="markers",
            error_x={
                "array": [_percent(up) for up, _ in bars],
                "arrayminus": [_percent(down) for _, down in bars],
                "visible": any(up or down for up, down in bars),
                "thickness": 1.5,
                "width": 3,
            },
            marker={
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 11 if number == 0 else 8,
                "color": COLOURS[number % len(COLOURS)],
            },
            hovertemplate="%{x:.1f} %",
        )
    figure.update_xaxes(title="percent", rangemode="tozero")
    figure.update_yaxes(
        tickvals=[*range(len(benchmarks))],
        ticktext=[plain(name.replace("_", " ")) for name in benchmarks],
        range=[len(benchmarks) - 0.45, -0.55],
        automargin=True,
        zeroline=False,
        showgrid=False,
    )
    return finished(figure, 130 + len(benchmarks) * (16 + 12 * len(scores.models)))


def _error_bar(scores: Scores, benchmark: str, metric: str, model: str) -> tuple[float, float]:
    """Lengths of an error bar, up and down: the 95 % interval, else the standard deviation, else 0."""
    value, ends = scores.value(benchmark, metric, model), scores.interval(benchmark, metric, model)
    if value is not None and ends is not None:
        return ends[1] - value, value - ends[0]
    spread = scores.value(benchmark, metric + STD, model) or 0.0
    return spread, spread


def training(curves: Curves) -> Figure | None:
    """A run's losses, validation, learning rate, logit scale and speed by step; None if there are none."""
    from plotly.subplots import make_subplots

    panels = {
        title: names
        for prefix, title in PANELS.items()
        if (names := [name for name in curves if name.startswith(prefix) and _has_values(curves[name])])
    }
    if not panels:
        return None
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.07, subplot_titles=[*panels])
    for row, names in enumerate(panels.values(), start=1):
        for number, name in enumerate(names):
            part = name.rpartition("_")[2]
            colour, dash = PARTS.get(part, (COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]))
            figure.add_scatter(
                x=curves["step"],
                y=curves[name],
                name=plain(part if part in RANKS else name),
                mode="lines",
                # Some values are not recorded at every step.
                connectgaps=True,
                line={"color": colour, "dash": dash, "width": 1.5},
                # Panels share the colours of the parts, so the first panel's legend is enough.
                showlegend=len(names) > 1 and (row == 1 or part in RANKS),
                row=row,
                col=1,
            )
    figure.update_xaxes(title="step", row=len(panels))
    figure.update_layout(hovermode="x unified")
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    return finished(figure, 110 + 125 * len(panels))


def overlaid(curves: Mapping[str, Curves]) -> Figure | None:
    """Several runs' losses, learning rates and speeds by step, one colour per run; None if there are none."""
    from plotly.subplots import make_subplots

    shown = [
        name
        for prefix in PANELS
        for name in dict.fromkeys(name for of_run in curves.values() for name in of_run if name.startswith(prefix))
        if any(_has_values(of_run.get(name, [])) for of_run in curves.values())
    ]
    if not shown:
        return None
    figure = make_subplots(
        rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.3 / len(shown), subplot_titles=shown
    )
    for row, name in enumerate(shown, start=1):
        for number, (run, of_run) in enumerate(curves.items()):
            figure.add_scatter(
                x=of_run["step"],
                y=of_run.get(name, []),
                name=plain(run),
                legendgroup=run,
                mode="lines",
                connectgaps=True,
                line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)], "width": 1.5},
                showlegend=row == 1,
                row=row,
                col=1,
            )
    figure.update_xaxes(title="step", row=len(shown))
    figure.update_layout(hovermode="x unified")
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    return finished(figure, 110 + 125 * len(shown))


def flow(links: Sequence[Link]) -> Figure | None:
    """A Sankey diagram of the rows from the sources to the shards; None if there are no links."""
    import plotly.graph_objects as go

    if not links:
        return None
    places = list(dict.fromkeys(place for link in links for place in (link.source, link.target)))
    lost = [place not in {link.source for link in links} and place not in ENDS for place in places]
    number = {place: index for index, place in enumerate(places)}
    sums = {
        place: max(
            sum(link.rows for link in links if link.source == place),
            sum(link.rows for link in links if link.target == place),
        )
        for place in places
    }
    # Plotly writes the last column's labels to the left, over those of the column before. With an invisible last
    # column, all labels are on the right.
    beyond = [(number[place], sums[place]) for place in places if place in ENDS]
    reasons = Counter(link.source for link in links if lost[number[link.target]])
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [f"{plain(_short(place))} {sums[place]:,}" for place in places] + [""] * len(beyond),
                "color": [LOST if is_lost else KEPT for is_lost in lost] + [INVISIBLE] * len(beyond),
                "align": "left",
                "pad": LABEL_HEIGHT,
                "thickness": 12,
                "line": {"width": 0},
                "hovertemplate": "%{label}<extra></extra>",
            },
            link={
                "source": [number[link.source] for link in links] + [end for end, _ in beyond],
                "target": [number[link.target] for link in links] + [len(places) + n for n in range(len(beyond))],
                "value": [link.rows for link in links] + [rows for _, rows in beyond],
                "color": ["rgba(213,94,0,.3)" if lost[number[link.target]] else "rgba(0,114,178,.22)" for link in links]
                + [INVISIBLE] * len(beyond),
                "hovertemplate": "%{source.label} → %{target.label}: %{value:,}<extra></extra>",
            },
        )
    )
    figure = finished(figure, 320 + LABEL_HEIGHT * max(reasons.values(), default=0))
    figure["layout"]["margin"] |= {"l": 8, "r": 8, "t": 16, "b": 16}
    return figure


def strategies(rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Bars of the labels by strategy, coloured by match type; None without any."""
    import plotly.graph_objects as go

    if not rows:
        return None
    figure = go.Figure()
    names = list(dict.fromkeys(row["strategy"] for row in rows))
    for number, kind in enumerate(dict.fromkeys(row["match_type"] for row in rows)):
        labels = {row["strategy"]: row["labels"] for row in rows if row["match_type"] == kind}
        figure.add_bar(
            name=plain(kind),
            y=[plain(name) for name in names],
            x=[labels.get(name, 0) for name in names],
            orientation="h",
            marker={
                "color": COLOURS[number % len(COLOURS)],
                "pattern": {"shape": PATTERNS[number % len(PATTERNS)], "solidity": 0.25},
            },
            hovertemplate="%{x:,} labels",
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="labels")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return finished(figure, 140 + 34 * len(names))


def treemap(nodes: Sequence[Node]) -> Figure | None:
    """A treemap of training images by taxon, one colour per taxonomic class; None if there are no nodes."""
    import plotly.graph_objects as go

    if not nodes:
        return None
    sizes = {node.group: node.images for node in nodes if node.id == node.group}
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))
    colour = {group: TAXA[number] if number < len(TAXA) else GREY for number, group in enumerate(largest)}
    figure = go.Figure(
        go.Treemap(
            ids=[plain(node.id) for node in nodes],
            parents=[plain(node.parent) for node in nodes],
            labels=[plain(node.label) for node in nodes],
            values=[node.images for node in nodes],
            customdata=[node.rank for node in nodes],
            branchvalues="total",
            maxdepth=5,
            marker={
                "colors": [colour.get(node.group, "#e3eae6") for node in nodes],
                "line": {"width": 1, "color": "#fff"},
                "pad": {"t": 20, "l": 2, "r": 2, "b": 2},
                "cornerradius": 3,
            },
            tiling={"packing": "squarify", "pad": 1},
            pathbar={"thickness": 22},
            texttemplate="%{label}<br>%{value:,}",
            hovertemplate="<b>%{label}</b> (%{customdata})<br>%{value:,} images<br>"
            "%{percentParent:.1%} of %{parent}<extra></extra>",
        )
    )
    figure = finished(figure, 520)
    figure["layout"]["margin"] = {"l": 0, "r": 0, "t": 26, "b": 0}
    return figure


def finished(figure: "go.Figure", height: int) -> Figure:
    """A figure as plain JSON, in the page's style; the page sets colours for light, dark and print."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 56, "r": 16, "t": 60, "b": 40},
        font={"family": FONT, "size": 13, "color": "#243b33"},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#b8c4be", "activecolor": KEPT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return dict(json.loads(figure.to_json()))


def plain(text: str) -> str:
    """Escape text for Plotly, which interprets tags in labels."""
    return html.escape(text, quote=False)


def _short(place: str) -> str:
    return place.partition(": ")[2].replace("_", " ") or place


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 3)


def _has_values(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)
