"""Detect a file's kind by its first bytes: photographs, other images, and other files."""

import re

# Bytes needed to detect a photograph, including the compatible brands of ISO base media files.
START_BYTES = 64
# Bytes needed to detect HTML, SVG or XML, after a byte-order mark, comments and declarations.
MARKUP_BYTES = 1024
# Brands of ISO base media files (`ftyp`), by kind.
BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "CR3 (raw photo)": (b"crx ",),
}
# Signatures by kind. Those that plain text may start with extend to bytes that text does not contain.
STARTS = {
    name: re.compile(start, re.DOTALL)
    for name, start in {
        "JPEG": rb"\xff\xd8\xff",
        "PNG": rb"\x89PNG\r\n\x1a\n",
        "GIF": rb"GIF8[79]a",
        "WEBP": rb"RIFF.{4}WEBP",
        # The size of the second header is one of seven.
        "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}",
        "JPEG2000": rb"\x00{3}\x0cjP  \r\n|\xff\x4f\xff\x51",
        "CR2 (raw photo)": rb"II\*\x00.{4}CR\x02",
        "TIFF": rb"II\*\x00|MM\x00\*",
        "BigTIFF": rb"II\+\x00|MM\x00\+",
        "JPEG XL": rb"\xff\x0a|\x00{3}\x0cJXL ",
        "JPEG XR": rb"II\xbc",
        "raw photo": rb"IIU\x00|IIR[OS]\x08\x00|MMOR\x00|FUJIFILMCCD-RAW|FOVb.{2}[\x00-\x08]\x00|\x00MRM",
        "Photoshop document": rb"8BPS\x00",
        "OpenEXR": rb"v/1\x01",
        "FITS": rb"SIMPLE  =",
        "DICOM": rb".{128}DICM",
        "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
        "PDF": rb"%PDF",
        "DjVu": rb"AT&TFORM",
        "icon": rb"\x00\x00\x01\x00|icns\x00",
        "NetPBM": rb"P[1-6][\n ][\d#]|P7\nWIDTH |P7\n#",
        "video": rb"\x1aE\xdf\xa3|OggS|FLV\x01|\x00\x00\x01[\xba\xb3]|RIFF.{4}AVI ",
        "sound": rb"ID3|fLaC|RIFF.{4}WAVE",
        "ZIP archive": rb"PK\x03\x04",
        "gzip archive": rb"\x1f\x8b",
    }.items()
}
MARKUP = {"SVG": (b"<svg",), "web page": (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")}
# MIME types of images. The other kinds above (pages, documents, videos, archives) are not images.
MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "JPEG2000": "image/jp2",
    "TIFF": "image/tiff",
    "BigTIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "JPEG XL": "image/jxl",
    "JPEG XR": "image/jxr",
    "CR2 (raw photo)": "image/x-canon-cr2",
    "CR3 (raw photo)": "image/x-canon-cr3",
    "raw photo": "image/x-dcraw",
    "Photoshop document": "image/vnd.adobe.photoshop",
    "OpenEXR": "image/x-exr",
    "FITS": "image/fits",
    "DICOM": "application/dicom",
    "DjVu": "image/vnd.djvu",
    "icon": "image/vnd.microsoft.icon",
    "NetPBM": "image/x-portable-anymap",
    "SVG": "image/svg+xml",
}


def kind_of(data: bytes) -> str | None:
    """The kind of a file, for photographs by Pillow's format name; None if unknown."""
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    for name, start in STARTS.items():
        if start.match(data):
            return name
    text = data[:MARKUP_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        found = ((text.find(word), name) for name, words in MARKUP.items() for word in words if word in text)
        return min(found, default=(0, "XML"))[1]
    return None


def _of_brands(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    # The first brand decides, except `mif1` and `msf1`, which AVIF and HEIC share.
    for brand in sorted(brands, key=lambda brand: brand in (b"mif1", b"msf1")):
        for name, known in BRANDS.items():
            if brand in known:
                return name
    return "video"
