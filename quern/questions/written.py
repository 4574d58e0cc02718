"""What questions write to the folder of finished images."""

from __future__ import annotations

from pathlib import Path

from quern.project import Image


def binhost(image: Image) -> tuple[Path, ...]:
    """The folder of a binary package host."""
    return (image.outdir / f"{image.output_name}.binhost",)


def sbom(image: Image) -> tuple[Path, ...]:
    """Both bills of materials, and the archive that they are attached to."""
    return tuple(image.outdir / f"{image.output_name}{end}" for end in (".spdx.json", ".cdx.json", ".sbom.tar"))


def size(image: Image) -> tuple[Path, ...]:
    """The page."""
    return (image.outdir / f"{image.output_name}.size.html",)
