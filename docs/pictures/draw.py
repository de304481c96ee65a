"""Draw the diagrams of the documentation: `python docs/pictures/draw.py` writes the SVG files beside it.

Colours are from Okabe and Ito's palette, which colour-blind people can tell apart; labels repeat all that they mean.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
INK, PALE = "#1f2a33", "#5b6770"
BLUE, GREEN, ORANGE, PURPLE, GREY = "#d6e6f2", "#d5efe4", "#fbe7c4", "#efdcea", "#eceff1"
EDGE = {BLUE: "#0072b2", GREEN: "#009e73", ORANGE: "#d08700", PURPLE: "#b0568f", GREY: "#7b8790"}


@dataclass
class Picture:
    """An SVG diagram of boxes, arrows and labels.

    Attributes:
        width: in pixels.
        height: in pixels.
        title: text alternative for people who cannot see it.
        parts: the SVG elements drawn so far.
    """

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, w: int, h: int, colour: str, head: str, *lines: str) -> None:  # noqa: PLR0917
        """Add a box with a heading and smaller lines; (x, y) is its upper left corner, in pixels."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="7" fill="{colour}" stroke="{EDGE[colour]}" '
            'stroke-width="1.5"/>'
        )
        top = y + h / 2 - 8.5 * len(lines)
        self.words(x + w / 2, top + 5, head, bold=True)
        for number, line in enumerate(lines, start=1):
            self.words(x + w / 2, top + 5 + 17 * number, line, size=12.5, colour=PALE)

    def words(
        self, x: float, y: float, text: str, *, size: float = 14.5, bold: bool = False, colour: str = INK,
        anchor: str = "middle",
    ) -> None:  # fmt: skip
        """Add a line of text; x is the position of its anchor, y its baseline, in pixels."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def arrow(self, *points: tuple[int, int], dashed: bool = False) -> None:
        """Add a polyline with an arrowhead at its last point."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{'M' if not number else 'L'}{x},{y}" for number, (x, y) in enumerate(points))
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="{INK}" stroke-width="1.6" marker-end="url(#head)"{dash}/>'
        )

    def svg(self) -> str:
        """The SVG file as text."""
        head = (
            '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0,0 L10,5 L0,10 z" fill="{INK}"/></marker>'
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img" '
                'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                f"<defs>{head}</defs>",
                f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def dag() -> Picture:
    """The stages and the data that flows between them."""
    made = Picture(
        960, 330, "From sources, backbones, benchmarks and replay pairs to a corpus, a model, scores and a report"
    )
    box, arrow = made.box, made.arrow
    for y, head, line in (
        (14, "sources", "tables, folders, GBIF"), (98, "backbones", "names and ranks"),
        (182, "benchmarks", "images, labels"), (266, "replay pairs", "images, captions"),
    ):  # fmt: skip
        box(10, y, 150, 50, GREY, head, line)
    box(200, 14, 100, 50, BLUE, "catalog")
    box(330, 14, 100, 50, BLUE, "download")
    box(460, 14, 100, 50, BLUE, "screen", "optional")
    box(200, 98, 100, 50, BLUE, "taxonomy")
    box(460, 98, 100, 50, BLUE, "curate", "verdicts")
    box(590, 98, 100, 50, BLUE, "shards", "tars")
    box(590, 266, 100, 50, BLUE, "replay", "tars")
    box(730, 182, 90, 50, ORANGE, "train")
    box(850, 182, 100, 50, ORANGE, "model", "open_clip")
    box(850, 98, 100, 50, GREEN, "evaluate", "scores")
    box(850, 14, 100, 50, PURPLE, "report")
    arrow((160, 39), (198, 39))
    arrow((300, 39), (328, 39))
    arrow((430, 39), (458, 39))
    arrow((510, 64), (510, 96))
    arrow((160, 123), (198, 123))
    arrow((300, 123), (458, 123))
    arrow((560, 123), (588, 123))
    arrow((250, 64), (250, 96))
    arrow((160, 207), (510, 207), (510, 150))
    arrow((510, 207), (710, 207), (710, 80), (880, 80), (880, 96))
    arrow((160, 291), (588, 291))
    arrow((640, 148), (640, 195), (728, 195))
    arrow((640, 266), (640, 219), (728, 219))
    arrow((820, 207), (848, 207))
    arrow((900, 182), (900, 150))
    arrow((900, 98), (900, 66))
    return made


def corpus_and_run() -> Picture:
    """A corpus that grows, and two runs that train on it."""
    made = Picture(
        960, 300, "A corpus with three generations of shards; two runs train on it, each with its own report"
    )
    made.words(245, 26, "corpus  results/corpora/beetles", bold=True)
    made.words(740, 26, "runs  results/runs", bold=True)
    for number, (head, line) in enumerate(
        (("generation g000", "2024: 2.1 million images"), ("generation g001", "2025: 0.6 million more"),
         ("generation g002", "2026: being built")),
    ):  # fmt: skip
        y = 44 + 62 * number
        made.box(20, y, 210, 50, BLUE if number < 2 else GREY, head, line)
        made.box(280, y, 170, 50, BLUE if number < 2 else GREY, "shards", f"g00{number}/train, val")
        made.arrow((230, y + 25), (278, y + 25), dashed=number == 2)
    made.box(20, 236, 430, 46, GREEN, "labels.parquet", "names of all generations: captions are written from here")
    made.box(560, 44, 180, 74, ORANGE, "beetles_2024", "lr 1e-5, 10 epochs", "bound to g000")
    made.box(560, 150, 180, 74, ORANGE, "beetles_2025", "lr 3e-5, 5 epochs", "bound to g000 and g001")
    for y in (44, 150):
        made.box(790, y, 150, 74, PURPLE, "report", "model, scores")
        made.arrow((740, y + 37), (788, y + 37))
    made.arrow((450, 69), (558, 69))
    made.arrow((450, 78), (505, 78), (505, 176), (558, 176))
    made.arrow((450, 131), (480, 131), (480, 192), (558, 192))
    made.arrow((450, 259), (530, 259), (530, 208), (558, 208))
    made.arrow((530, 208), (530, 100), (558, 100))
    return made


CAPTIONS = (
    ("sci", "a photo of Pica hudsonia."),
    ("com", "a photo of black-billed magpie."),
    ("taxon", "a photo of Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia."),
    ("sci_com", "a photo of Pica hudsonia with common name black-billed magpie."),
    ("taxon_com", "a photo of Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia …"),
)


def caption() -> Picture:
    """The five captions of a taxon."""
    made = Picture(960, 276, "One label, its taxon, and the five captions that training draws from")
    made.box(10, 20, 180, 60, GREY, "image", "Pica hudsonia (Sabine)")
    made.box(
        10,
        150,
        180,
        100,
        BLUE,
        "labels.parquet",
        "Animalia, Chordata, Aves,",
        "Passeriformes, Corvidae,",
        "Pica, hudsonia",
    )
    made.arrow((95, 80), (95, 148))
    made.words(104, 118, "label_id", size=12.5, colour=PALE, anchor="start")
    for number, (text_type, text) in enumerate(CAPTIONS):
        y = 20 + 50 * number
        made.box(240, y, 100, 36, ORANGE, text_type)
        made.arrow((190, 200), (215, 200), (215, y + 18), (238, y + 18))
        made.words(354, y + 23, text, size=14, anchor="start")
    return made


def two_heads() -> Picture:
    """One image encoder with a projector for each kind of pair."""
    made = Picture(
        960, 250, "Biology and replay images share the image encoder and have a projector each; one text encoder"
    )
    made.box(10, 20, 150, 50, GREEN, "biology images")
    made.box(10, 96, 150, 50, PURPLE, "replay images")
    made.box(10, 180, 150, 50, GREY, "captions", "of both")
    made.box(220, 40, 160, 86, BLUE, "image encoder", "shared")
    made.box(220, 180, 160, 50, BLUE, "text encoder", "shared")
    made.box(450, 20, 160, 50, GREEN, "projector", "of the exported model")
    made.box(450, 96, 160, 50, PURPLE, "replay projector")
    made.box(700, 20, 250, 50, ORANGE, "loss of biology pairs")
    made.box(700, 96, 250, 50, ORANGE, "loss of replay pairs")
    made.words(825, 216, "both are added", colour=PALE)
    made.arrow((160, 45), (218, 70))
    made.arrow((160, 121), (218, 100))
    made.arrow((160, 205), (218, 205))
    made.arrow((380, 70), (448, 45))
    made.arrow((380, 100), (448, 121))
    made.arrow((610, 45), (698, 45))
    made.arrow((610, 121), (698, 121))
    made.arrow((380, 205), (655, 205), (655, 133), (698, 133))
    made.arrow((655, 133), (655, 57), (698, 57))
    return made


PICTURES = {"dag": dag, "corpus-and-run": corpus_and_run, "caption": caption, "two-heads": two_heads}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
