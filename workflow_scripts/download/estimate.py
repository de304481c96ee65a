"""Estimate a download without fetching anything: images, bytes, files, and the time for each host at its limits."""

import sys
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings, HostLimits
from workflow_scripts.common.unit_costs import BYTES_SERVED, size_text
from workflow_scripts.download.summary import spelled
from workflow_scripts.download.traffic import GIGABYTE, WINDOWS

# Mean over photos of TreeOfLife's sources, scaled to 720 pixels, as JPEG.
BYTES_KEPT = 140_000
FILES_OF_A_PART = 3
SHOWN_HOSTS = 25


def estimate(
    *,
    parts: tuple[Path, ...],
    settings: DownloadSettings,
    limits: DownloadLimits,
    bytes_served: int = BYTES_SERVED,
    bytes_kept: int = BYTES_KEPT,
    json_lines: AsJson = False,
    memory_mb: int = 2048,
) -> None:
    """Print an estimate of a download.

    Args:
        parts: tables of images to fetch.
        settings: sizes and checks of images.
        limits: the hosts' limits.
        bytes_served: mean size of an image as served, bytes.
        bytes_kept: mean size of an image as kept, bytes.
        json_lines: print one JSON object instead: images, requests, bytes_to_fetch, bytes_to_keep, files, tars, and
            hosts (slowest first), each with its images and seconds.
        memory_mb: DuckDB's memory limit, MiB.
    """
    with tables.connect(memory_mb) as connection:
        connection.execute(f"CREATE TEMP VIEW images AS SELECT source_url, host FROM {tables.scan(parts)}")
        hosts = connection.execute(
            "SELECT host, count(*), count(DISTINCT source_url) FROM images GROUP BY host ORDER BY host"
        ).fetchall()
    images = sum(rows for _, rows, _ in hosts)
    requests = sum(addresses for host, _, addresses in hosts if host)
    tars = sum(-(-tables.count_rows(part) // settings.images_per_tar) for part in parts)
    lines = [
        f"{images:,} images, {requests:,} requests to {sum(host != '' for host, *_ in hosts):,} hosts",
        f"{size_text(requests * bytes_served)} to fetch, {size_text(images * bytes_kept)} to keep "
        f"(at {size_text(bytes_served)} and {size_text(bytes_kept)} per image)",
        f"{tars + FILES_OF_A_PART * len(parts):,} files ({tars:,} tars)",
    ]
    seconds = {host: _seconds(limits.of_host(host), addresses, bytes_served) for host, _, addresses in hosts if host}
    slowest = sorted(seconds, key=lambda host: (-seconds[host], host))
    if slowest:
        lines.append(f"at least {spelled(seconds[slowest[0]])} at the hosts' limits; slowest hosts first:")
    counts = {host: rows for host, rows, _ in hosts}
    if json_lines:
        summary = {
            "images": images,
            "requests": requests,
            "bytes_to_fetch": requests * bytes_served,
            "bytes_to_keep": images * bytes_kept,
            "files": tars + FILES_OF_A_PART * len(parts),
            "tars": tars,
            "hosts": [{"host": host, "images": counts[host], "seconds": seconds[host]} for host in slowest],
        }
        print_json(summary)
        return
    for host in slowest[:SHOWN_HOSTS]:
        policy = limits.of_host(host)
        lines.append(f"  {host:<48} {counts[host]:>12,} images {spelled(seconds[host]):>12} ({_policy(policy)})")
    if len(slowest) > SHOWN_HOSTS:
        lines.append(f"  and {len(slowest) - SHOWN_HOSTS:,} faster hosts")
    sys.stdout.write("\n".join(lines) + "\n")


def _seconds(policy: HostLimits, requests: int, bytes_served: int) -> float:
    """The time a host's images take at its policy, in seconds: the longer one of its request and byte limits."""
    by_bytes = [
        requests * bytes_served / GIGABYTE / limit * seconds
        for name, seconds in WINDOWS.items()
        if (limit := getattr(policy, name))
    ]
    return max(requests / policy.rate, *by_bytes, 0)


def _policy(policy: HostLimits) -> str:
    sizes = [
        f"{getattr(policy, name):g} GB/{name.removeprefix('gb_per_')}" for name in WINDOWS if getattr(policy, name)
    ]
    return ", ".join([f"{policy.rate:g}/s", *sizes, f"{policy.connections} connections"])


if __name__ == "__main__":
    run(estimate)
