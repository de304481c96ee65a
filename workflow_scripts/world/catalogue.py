"""Plan the catalogue's photos: their labels, licences, hosts and faults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from workflow_scripts.common.files import digest
from workflow_scripts.contracts import RANKS
from workflow_scripts.world import fake_bodies, site
from workflow_scripts.world.appearance import Look
from workflow_scripts.world.labels import TROUBLES, Label, plain_label
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
# Above every photo's number.
FIRST_PLANTED = 5_000_000
# `img_type` and `basisOfRecord` of planted pictures, by class.
PLANTED_AS = {
    LABEL: ("Museum Specimen: Plant", "PRESERVED_SPECIMEN"),
    LANDSCAPE: ("Museum Specimen: Vertebrate Zoology - Amphibians", "PRESERVED_SPECIMEN"),
    EMPTY: ("Camera-trap", "MACHINE_OBSERVATION"),
    FACE: ("Citizen Science", "HUMAN_OBSERVATION"),
}
LEAKY = "benchmarks/seen_species/images"


@dataclass(frozen=True)
class Fault:
    """A fault of served photos.

    Attributes:
        name: name of the fault.
        host: host that serves the photo.
        share: share of the served photos.
        least: minimum number of photos.
    """

    name: str
    host: str
    share: float
    least: int = 1


FAULTS = (
    Fault("not_found", site.LYING, 0.006),
    Fault("html", site.LYING, 0.004),
    Fault("cut_off", site.LYING, 0.005),
    Fault("huge_jpeg", site.LYING, 0.002),
    Fault("huge_png", site.LYING, 0.002),
    Fault("pixel", site.LYING, 0.003),
    Fault("placeholder", site.LYING, 0.006, least=4),
    Fault("small", site.LYING, 0.005),
    Fault("duplicate", site.LYING, 0.008),
    Fault("noai", site.SLOW, 0.001),
    Fault("moved", site.SLOW, 0.005),
    Fault("unreachable", site.GONE, 0.001),
    Fault("busy_once", site.BUSY, 0.005),
    Fault("down_once", site.BUSY, 0.005),
    Fault("down_twice", site.BUSY, 0.002),
    # Benchmark images in the catalogue: the same file, and a recompressed copy.
    Fault("leaked", site.LYING, 0.001, least=2),
    Fault("leaked_copy", site.LYING, 0.001, least=2),
)


@dataclass(frozen=True)
class Photo:
    """A photo of the catalogue.

    Attributes:
        species: index of the species that it shows.
        number: number of the photo.
        occurrence: number of the occurrence; photos of one occurrence share label, owner and licence.
        label: the provider's label.
        in_table: whether it is in the small table of local images rather than served.
    """

    species: int
    number: int
    occurrence: int
    in_table: bool
    label: Label = field(default_factory=dict)


@dataclass
class Catalogue:
    """Pictures, table rows and pages of the catalogue.

    Attributes:
        site: the hosts; pages are added to them.
        pictures: pictures to draw.
        bodies: other response bodies, by file: kind, and the file of the picture that it is made from, if any.
        records: rows with the columns of TreeOfLife-200M's catalogue.
        provenance: rows with the columns of TreeOfLife-200M's provenance.
        table: rows of the small table of local images.
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
    """Plan all photos of the catalogue, without writing anything.

    Args:
        species: the species in the training data.
        looks: their looks.
        site_: the hosts that serve the photos.
        seed: random seed.
        images_per_species: photos per species; the last one of each is in the small table.
        side: shorter side of a photo, pixels.
        troubles: whether to add label errors and host faults.
    """
    photos = _labelled(list(_photos(species, seed, images_per_species)), species, seed, troubles)
    catalogue = Catalogue(site=site_)
    served = [photo for photo in photos if not photo.in_table]
    faults = _faults(served, seed) if troubles else {}
    for photo in photos:
        one = species[photo.species]
        fault = faults.get(photo.number)
        random = random_of(seed, "photo", photo.number)
        if photo.in_table:
            path = f"{one.folder}/{photo.number:05d}.jpg"
            catalogue.pictures.append(Picture(f"{TABLE_FOLDER}/{path}", looks[photo.species], side))
            catalogue.table.append(_table_row(photo, path, seed))
            continue
        host = fault.host if fault else str(random.choice(list(HOST_SHARES), p=list(HOST_SHARES.values())))
        if not troubles:
            host = site.FAST
        file = f"site/{one.folder}/{photo.number:05d}.jpg"
        name = fault.name if fault else "good"
        if name.startswith("leaked"):
            file = f"{LEAKY}/{one.folder}/0000.jpg"
        elif name not in ("not_found", "html", "huge_png", "pixel", "placeholder", "unreachable"):
            catalogue.pictures.append(Picture(file, looks[photo.species], SMALL_SIDE if name == "small" else side))
        path = PATHS[host].format(40_000_000 + 7 * photo.number)
        _serve(catalogue, name, host, path, file)
        _record(catalogue, photo, host, path, seed)
        if name == "duplicate":
            second = PATHS[host].format(90_000_000 + photo.number)
            catalogue.site.hosts[host].pages[second] = Page(file)
            _record(catalogue, photo, host, second, seed)
    if troubles:
        # A row whose file is missing.
        catalogue.table.append(catalogue.table[0] | {"source_id": "lost", "path": "lost/00000.jpg"})
    return catalogue


def plant(
    catalogue: Catalogue, species: Sequence[Species], looks: Sequence[Look], *, seed: int, count: int, side: int
) -> list[Row]:
    """Add pictures without an organism, labelled as a species, to the catalogue, without writing anything.

    Args:
        catalogue: catalogue to add them to.
        species: species to label them as, in turn.
        looks: looks of the species; the pictures have their colours and backgrounds.
        seed: random seed.
        count: pictures per class.
        side: shorter side of a picture, pixels.

    Returns:
        One row per picture: source_url, class, kind.
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
    """Support images, one folder per class: organisms, and kinds of the other classes that are not planted."""
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
    """The bytes of a response body of `kind`; `source` is the picture that it is made from, if any."""
    match kind:
        case "html":
            return fake_bodies.PAGE
        case "pixel":
            return fake_bodies.pixel()
        case "placeholder":
            return fake_bodies.placeholder(side)
        case "cut_off":
            return fake_bodies.cut_off(source)
        case "huge_jpeg":
            return fake_bodies.huge_jpeg(source)
        case "huge_png":
            return fake_bodies.huge_png()
        case "leaked_copy":
            return fake_bodies.compressed_again(source)
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
    """Label the photos. Each trouble affects its share of the occurrences, at least one."""
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


def _faults(photos: Sequence[Photo], seed: int) -> dict[int, Fault]:
    """The photos with a fault: faults by photo number."""
    order = iter(random_of(seed, "fates").permutation(len(photos)))
    return {
        photos[int(place)].number: fault
        for fault in FAULTS
        for _, place in zip(range(max(fault.least, round(fault.share * len(photos)))), order, strict=False)
    }


def _serve(catalogue: Catalogue, fault: str, host: str, path: str, file: str) -> None:
    """Add the photo's page to its host, with its fault."""
    if fault == "unreachable":
        return
    page = Page(file)
    match fault:
        case "not_found":
            page = Page(None, status=404, content_type="text/html")
        case "html" | "pixel" | "placeholder" | "huge_png":
            shared = {"html": "page.html", "huge_png": "huge.png"}.get(fault, f"{fault}.jpg")
            page = Page(f"site/shared/{shared}", content_type="image/png" if fault == "huge_png" else "image/jpeg")
            catalogue.bodies[f"site/shared/{shared}"] = (fault, None)
        case "cut_off" | "huge_jpeg":
            damaged = file.replace(".jpg", f"_{fault}.jpg")
            catalogue.bodies[damaged] = (fault, file)
            page = Page(damaged)
        case "leaked_copy":
            copy = f"site/copies/{path.rsplit('/', 1)[-1]}"
            catalogue.bodies[copy] = (fault, file)
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
    """Add the photo's rows, as in TreeOfLife-200M: one of the catalogue and one of the provenance."""
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
