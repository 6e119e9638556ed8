"""Draws the picture of docs/guides/report.md: `python examples/report_picture.py RUN [FILE]`.

Needs Chromium; pillow comes with matplotlib.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT, SCALE = 1180, 1900, 0.75


def draw(report: Path, file: Path) -> None:
    """Photographs the upper part of a report."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("this needs chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        size = ["--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", *size]
        # An older headless mode does not follow the system; light is what prints.
        light = "--blink-settings=preferredColorScheme=1"
        subprocess.run([program, *options, light, report.absolute().as_uri()], check=True, capture_output=True)
        with Image.open(shot) as picture:
            smaller = round(WIDTH * SCALE), round(HEIGHT * SCALE)
            small = picture.convert("RGB").resize(smaller, Image.Resampling.LANCZOS)
    small.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "guides" / "pictures" / "report.png"
    draw(Path(sys.argv[1]) / "report.html", Path(sys.argv[2]) if len(sys.argv) > 2 else target)
