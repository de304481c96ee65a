"""The catalogue's photos: who took them, what they are labelled, where they are served, and what goes wrong there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from workflow_scripts.common.files import digest
from workflow_scripts.contracts import RANKS
from workflow_scripts.world import lies, site
from workflow_scripts.world.labels import TROUBLES, Label, plain_label
from workflow_scripts.world.looks import Look
from workflow_scripts.world.pictures import Picture, random_of
from workflow_scripts.world.planted import EMPTY, FACE, LABEL, LANDSCAPE, ORGANISM, Planted, kinds_of
from workflow_scripts.world.site import Page, Site
from workflow_scripts.world.table import Species

Row = dict[str, str | None]

LICENCES: tuple[tuple[str | None, str | None], ...] = (
    ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    ("http://creativecommons.org/licenses/by/4.0/legalcode", "http://creativecommons.org/licenses/by/4.0/"),
    ("CC_BY_SA_3_0", None),
    ("cc0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("Public Domain", None),
    ("© All rights reserved", None),
    (None, None),
)
OWNERS = ("A. Larsen", "Botanical Garden of the University", "M. Okafor", "J. Nováková", "Museum of Zoology", None)
MUSEUMS = ("Naturalis Biodiversity Center", "Royal Botanic Gardens, Kew", "Natural History Museum Denmark")
HOST_SHARES = {site.FAST: 0.62, site.SLOW: 0.10, site.BUSY: 0.18, site.LYING: 0.10}
PATHS = {
    site.FAST: "/photos/{}/original.jpg",
    site.SLOW: "/herbarium/specimens/{}.jpg",
    site.BUSY: "/observations/{}/photo.jpg",
    site.LYING: "/media/{}_orig.jpg",
    site.GONE: "/images/{}.jpg",
}
SMALL_SIDE = 160
TABLE_FOLDER = "table_images"
SUPPORT = "support"
# Beyond every photo's number.
FIRST_PLANTED = 5_000_000
# What records of such pictures claim to be: `img_type` and `basisOfRecord`.
PLANTED_AS = {
    LABEL: ("Museum Specimen: Plant", "PRESERVED_SPECIMEN"),
    LANDSCAPE: ("Museum Specimen: Vertebrate Zoology - Amphibians", "PRESERVED_SPECIMEN"),
    EMPTY: ("Camera-trap", "MACHINE_OBSERVATION"),
    FACE: ("Citizen Science", "HUMAN_OBSERVATION"),
}
LEAKY = "benchmarks/seen_species/images"


@dataclass(frozen=True)
class Fate:
    """Something that befalls a served photo.

    Attributes:
        name: what it is.
        host: where it happens.
        share: share of the served photos.
        least: how many there are at least.
    """

    name: str
    host: str
    share: float
    least: int = 1


FATES = (
    Fate("not_found", site.LYING, 0.006),
    Fate("html", site.LYING, 0.004),
    Fate("cut_off", site.LYING, 0.005),
    Fate("huge_jpeg", site.LYING, 0.002),
    Fate("huge_png", site.LYING, 0.002),
    Fate("pixel", site.LYING, 0.003),
    Fate("placeholder", site.LYING, 0.006, least=4),
    Fate("small", site.LYING, 0.005),
    Fate("duplicate", site.LYING, 0.008),
    Fate("noai", site.SLOW, 0.001),
    Fate("moved", site.SLOW, 0.005),
    Fate("unreachable", site.GONE, 0.001),
    Fate("busy_once", site.BUSY, 0.005),
    Fate("down_once", site.BUSY, 0.005),
    Fate("down_twice", site.BUSY, 0.002),
    # A photo that a benchmark took from the same place: its very file, and a copy that was compressed again.
    Fate("leaked", site.LYING, 0.001, least=2),
    Fate("leaked_copy", site.LYING, 0.001, least=2),
)


@dataclass(frozen=True)
class Photo:
    """A photo of the catalogue.

    Attributes:
        species: what it truly shows.
        number: which of all photos it is.
        occurrence: which sighting; photos of one sighting share label, owner and licence.
        label: what its provider wrote.
        in_table: whether it is offered in the small table of local images.
    """

    species: int
    number: int
    occurrence: int
    in_table: bool
    label: Label = field(default_factory=dict)


@dataclass
class Catalogue:
    """What there is to draw, to write down and to serve.

    Attributes:
        pictures: pictures to draw.
        bodies: other bodies, by file: what to make and, where it is made from a picture, that picture's file.
        records: rows with the columns of TreeOfLife-200M's catalogue.
        provenance: rows with the columns of its provenance.
        table: rows of the small table.
        site: the hosts; their pages are filled in.
    """

    site: Site
    pictures: list[Picture] = field(default_factory=list)
    bodies: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    records: list[Row] = field(default_factory=list)
    provenance: list[Row] = field(default_factory=list)
    table: list[Row] = field(default_factory=list)


def plan_catalogue(
    species: Sequence[Species],
    looks: Sequence[Look],
    *,
    site_: Site,
    seed: int,
    images_per_species: int,
    side: int,
    troubles: bool,
) -> Catalogue:
    """Decide on every photo of the catalogue; nothing is written yet.

    Args:
        species: the species that training sees.
        looks: their looks.
        site_: the hosts that the photos are put on.
        seed: seed of everything drawn.
        images_per_species: photos a species; the last one of each is in the small table.
        side: shorter side of a photo in pixels.
        troubles: whether labels go wrong and hosts fail and lie.
    """
    photos = _labelled(list(_photos(species, seed, images_per_species)), species, seed, troubles)
    catalogue = Catalogue(site=site_)
    served = [photo for photo in photos if not photo.in_table]
    fates = _fates(served, seed) if troubles else {}
    for photo in photos:
        one = species[photo.species]
        fate = fates.get(photo.number)
        random = random_of(seed, "photo", photo.number)
        if photo.in_table:
            path = f"{one.folder}/{photo.number:05d}.jpg"
            catalogue.pictures.append(Picture(f"{TABLE_FOLDER}/{path}", looks[photo.species], side))
            catalogue.table.append(_table_row(photo, path, seed))
            continue
        host = fate.host if fate else str(random.choice(list(HOST_SHARES), p=list(HOST_SHARES.values())))
        if not troubles:
            host = site.FAST
        file = f"site/{one.folder}/{photo.number:05d}.jpg"
        name = fate.name if fate else "good"
        if name.startswith("leaked"):
            file = f"{LEAKY}/{one.folder}/0000.jpg"
        elif name not in ("not_found", "html", "huge_png", "pixel", "placeholder", "unreachable"):
            catalogue.pictures.append(Picture(file, looks[photo.species], SMALL_SIDE if name == "small" else side))
        path = PATHS[host].format(40_000_000 + 7 * photo.number)
        _serve(catalogue, name, host, path, file)
        _record(catalogue, photo, host, path, seed)
        if name == "duplicate":
            again = PATHS[host].format(90_000_000 + photo.number)
            catalogue.site.hosts[host].pages[again] = Page(file)
            _record(catalogue, photo, host, again, seed)
    if troubles:
        # A row whose file is nowhere: local sources have their holes too.
        catalogue.table.append(catalogue.table[0] | {"source_id": "lost", "path": "lost/00000.jpg"})
    return catalogue


def plant(
    catalogue: Catalogue, species: Sequence[Species], looks: Sequence[Look], *, seed: int, count: int, side: int
) -> list[Row]:
    """Plant pictures without an organism, labelled as if they showed one; nothing is written yet.

    Args:
        catalogue: where they go.
        species: the species that they are labelled as, in turn.
        looks: the looks of these, whose colours and backgrounds they have.
        seed: seed of everything drawn.
        count: pictures of each class.
        side: shorter side of a picture in pixels.

    Returns:
        What was planted, a row each: source_url, class, kind.
    """
    rows: list[Row] = []
    for what, (image_type, basis) in PLANTED_AS.items():
        kinds = kinds_of(what, is_support=False)
        for number in range(count):
            place = (len(rows) * 7 + number) % len(species)
            photo = Photo(
                place, FIRST_PLANTED + len(rows), FIRST_PLANTED + len(rows), False, plain_label(species[place])
            )
            file = f"site/planted/{what.replace(' ', '_')}/{number:05d}.jpg"
            subject = Planted(what, kinds[number % len(kinds)], looks[place])
            catalogue.pictures.append(Picture(file, subject, side))
            path = PATHS[site.FAST].format(40_000_000 + 7 * photo.number)
            _serve(catalogue, "good", site.FAST, path, file)
            _record(catalogue, photo, site.FAST, path, seed)
            catalogue.records[-1] |= {"img_type": image_type, "basisOfRecord": basis}
            rows.append({"source_url": catalogue.records[-1]["source_url"], "class": what, "kind": subject.kind})
    return rows


def support_pictures(looks: Sequence[Look], side: int) -> list[Picture]:
    """Support images, a folder a class: other kinds than those that are planted, and organisms."""
    pictures = [
        Picture(f"{SUPPORT}/{ORGANISM}/{place:04d}-{number}.jpg", look, side)
        for place, look in enumerate(looks)
        for number in range(2)
    ]
    return pictures + [
        Picture(f"{SUPPORT}/{what}/{place:04d}-{kind}.jpg", Planted(what, kind, look), side)
        for what in PLANTED_AS
        for place, look in enumerate(looks)
        for kind in kinds_of(what, is_support=True)
    ]


def body(kind: str, source: bytes, side: int) -> bytes:
    """The bytes of a body that is no plain picture; `source` is the picture that it is made from, if any."""
    match kind:
        case "html":
            return lies.PAGE
        case "pixel":
            return lies.pixel()
        case "placeholder":
            return lies.placeholder(side)
        case "cut_off":
            return lies.cut_off(source)
        case "huge_jpeg":
            return lies.huge_jpeg(source)
        case "huge_png":
            return lies.huge_png()
        case "leaked_copy":
            return lies.compressed_again(source)
    raise ValueError(f"unknown kind of body {kind}")


def _photos(species: Sequence[Species], seed: int, images_per_species: int) -> Iterator[Photo]:
    number = occurrence = 0
    for place, one in enumerate(species):
        random = random_of(seed, "occurrences", one.ranks)
        left_of_occurrence = 0
        for image in range(images_per_species):
            in_table = image == images_per_species - 1
            if in_table or not left_of_occurrence:
                occurrence += 1
                left_of_occurrence = int(random.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
            left_of_occurrence -= 1
            yield Photo(place, number, occurrence, in_table)
            number += 1


def _labelled(photos: Sequence[Photo], species: Sequence[Species], seed: int, troubles: bool) -> list[Photo]:
    """Each photo with its label; a share of the occurrences has each trouble, at least one."""
    kinds = {photo.occurrence: species[photo.species] for photo in photos}
    labels: dict[int, Label] = {}
    if troubles:
        random = random_of(seed, "labels")
        waiting = [int(occurrence) for occurrence in random.permutation(sorted(kinds))]
        for trouble in TROUBLES:
            wanted = max(1, round(trouble.share * len(kinds)))
            for occurrence in list(waiting):
                if not wanted:
                    break
                label = trouble.write(kinds[occurrence], random)
                if label is not None:
                    labels[occurrence] = label
                    waiting.remove(occurrence)
                    wanted -= 1
    return [
        replace(photo, label=labels.get(photo.occurrence, plain_label(kinds[photo.occurrence]))) for photo in photos
    ]


def _fates(photos: Sequence[Photo], seed: int) -> dict[int, Fate]:
    """What befalls which photo, by its number."""
    order = iter(random_of(seed, "fates").permutation(len(photos)))
    return {
        photos[int(place)].number: fate
        for fate in FATES
        for _, place in zip(range(max(fate.least, round(fate.share * len(photos)))), order, strict=False)
    }


def _serve(catalogue: Catalogue, fate: str, host: str, path: str, file: str) -> None:
    """Put the photo on its host, the way its fate has it."""
    if fate == "unreachable":
        return
    page = Page(file)
    match fate:
        case "not_found":
            page = Page(None, status=404, content_type="text/html")
        case "html" | "pixel" | "placeholder" | "huge_png":
            shared = {"html": "page.html", "huge_png": "huge.png"}.get(fate, f"{fate}.jpg")
            page = Page(f"site/shared/{shared}", content_type="image/png" if fate == "huge_png" else "image/jpeg")
            catalogue.bodies[f"site/shared/{shared}"] = (fate, None)
        case "cut_off" | "huge_jpeg":
            spoilt = file.replace(".jpg", f"_{fate}.jpg")
            catalogue.bodies[spoilt] = (fate, file)
            page = Page(spoilt)
        case "leaked_copy":
            copy = f"site/copies/{path.rsplit('/', 1)[-1]}"
            catalogue.bodies[copy] = (fate, file)
            page = Page(copy)
        case "noai":
            page = Page(file, headers={"X-Robots-Tag": "noai"})
        case "moved":
            moved = path.replace("/herbarium/", "/collections/")
            catalogue.site.hosts[host].pages[moved] = Page(file)
            page = Page(None, status=302, headers={"Location": moved})
        case "busy_once":
            page = Page(file, before=(429,))
        case "down_once":
            page = Page(file, before=(503,))
        case "down_twice":
            page = Page(file, before=(503, 503))
    catalogue.site.hosts[host].pages[path] = page


def _record(catalogue: Catalogue, photo: Photo, host: str, path: str, seed: int) -> None:
    """Write the photo down as TreeOfLife-200M does: a row of its catalogue and one of its provenance."""
    random = random_of(seed, "terms", photo.occurrence)
    from_eol = host == site.LYING
    url = catalogue.site.url(host, path)
    licence, link = _licence(random)
    source = "eol" if from_eol else "gbif"
    uuid = str(UUID(digest([seed, url])[:32], version=4))
    shard = f"shard-{len(catalogue.records) // 1000:05d}.tar"
    kingdom = photo.label["kingdom"]
    shared: Row = {
        "uuid": uuid,
        # EOL numbers images, GBIF occurrences.
        "source_id": str(30_000_000 + photo.number if from_eol else 2_000_000_000 + photo.occurrence),
        "data_source": source,
        "source_url": url,
    }
    publisher = {site.SLOW: str(random.choice(MUSEUMS)), site.LYING: None, site.BUSY: "Observation.org"}
    basis = {site.SLOW: "PRESERVED_SPECIMEN", site.LYING: None}
    specimen = f"Museum Specimen: {'Plant' if kingdom == 'Plantae' else 'Uncategorized'}"
    image_type = {site.SLOW: specimen, site.LYING: None, site.GONE: "Unidentified"}
    catalogue.records.append(
        shared
        | {rank: photo.label[rank] for rank in (*RANKS, "scientific_name", "common")}
        | {
            "publisher": publisher.get(host, "iNaturalist.org"),
            "basisOfRecord": basis.get(host, "HUMAN_OBSERVATION"),
            "img_type": image_type.get(host, "Citizen Science"),
            "shard_filename": shard,
            "shard_file_path": f"dataset/{source}/{shard}",
            "base_dataset_file_path": f"dataset/{source}",
        }
    )
    owner = random.choice(np.array(OWNERS, dtype=object))
    scientific = photo.label["scientific_name"]
    title = f"{scientific}, photo {photo.number}" if from_eol and scientific else None
    catalogue.provenance.append(
        shared | {"license_name": licence, "copyright_owner": owner, "license_link": link, "title": title}
    )


def _table_row(photo: Photo, path: str, seed: int) -> Row:
    random = random_of(seed, "terms", photo.occurrence)
    licence, link = _licence(random)
    label = photo.label
    return {
        "source_id": f"M-{photo.number:06d}",
        "path": path,
        **{rank: label[rank] for rank in RANKS},
        "scientific_name": label["scientific_name"],
        "common_name": label["common"],
        "occurrence_id": f"M-{photo.occurrence:06d}",
        "basisOfRecord": "PRESERVED_SPECIMEN",
        "license_name": licence,
        "license_link": link,
        "copyright_owner": str(random.choice(MUSEUMS)),
        "creator": random.choice(np.array(OWNERS, dtype=object)),
    }


def _licence(random: np.random.Generator) -> tuple[str | None, str | None]:
    return LICENCES[int(random.integers(len(LICENCES)))]
