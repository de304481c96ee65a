"""Plan the replay set: captioned shapes in a LAION-like table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workflow_scripts.world import site
from workflow_scripts.world.pictures import Picture, random_of
from workflow_scripts.world.shapes import all_shapes
from workflow_scripts.world.site import Page, Site

ReplayRow = dict[str, str | float | int | None]

SIDES = (256, 288, 320)
# Shares of rows that the replay filters exclude, and of rows whose image is missing.
UNSAFE = WATERMARKED = DISSIMILAR = 0.02
DEAD = 0.01


@dataclass
class Replay:
    """Pictures to draw, and their table rows."""

    pictures: list[Picture] = field(default_factory=list)
    rows: list[ReplayRow] = field(default_factory=list)


def plan_replay(site_: Site, *, seed: int, pairs: int, troubles: bool) -> Replay:
    """Plan all pairs, with each caption equally often, and add their pages to the hosts.

    Columns: WIDTH and HEIGHT in pixels, similarity a cosine, punsafe and pwatermark probabilities.
    """
    shapes = all_shapes()
    replay = Replay()
    order: Sequence[int] = random_of(seed, "replay").permutation(pairs).tolist()
    for place, number in enumerate(order):
        random = random_of(seed, "pair", number)
        shape = shapes[number % len(shapes)]
        side = int(random.choice(SIDES))
        host = str(random.choice([site.FAST, site.SLOW], p=[0.9, 0.1])) if troubles else site.FAST
        path = f"/pictures/{number:06d}.jpg"
        row: ReplayRow = {
            "URL": site_.url(host, path),
            "TEXT": shape.caption,
            "WIDTH": side,
            "HEIGHT": side,
            "similarity": round(float(random.uniform(0.3, 0.42)), 4),
            "punsafe": round(float(random.uniform(0.0, 0.05)), 4),
            "pwatermark": round(float(random.uniform(0.0, 0.3)), 4) if random.random() < 0.95 else None,
        }
        dead = False
        if troubles:
            # Rows are in random order, so consecutive rows are a random sample.
            share = place / pairs
            if share < UNSAFE:
                row["punsafe"] = 0.97
            elif share < UNSAFE + WATERMARKED:
                row["pwatermark"] = 0.95
            elif share < UNSAFE + WATERMARKED + DISSIMILAR:
                row |= {"similarity": 0.12, "TEXT": shapes[(number + 17) % len(shapes)].caption}
            dead = 1 - share <= DEAD
        replay.rows.append(row)
        if dead:
            site_.hosts[host].pages[path] = Page(None, status=404, content_type="text/html")
            continue
        file = f"site/replay/{number:06d}.jpg"
        replay.pictures.append(Picture(file, shape, side))
        site_.hosts[host].pages[path] = Page(file)
    replay.rows.sort(key=lambda row: str(row["URL"]))
    return replay
