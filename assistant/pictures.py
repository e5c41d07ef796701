"""Opens a picture file as plain RGB, whatever its format, mode and turn. Knows no store and no tool."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from assistant.errors import BadInput
from assistant.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 0x0112  # an EXIF tag
# what undoes each orientation; not ImageOps.exif_transpose, which also writes the EXIF anew and breaks on odd ones
TURNS: dict[Any, str] = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
MAKING = ("maru", "parameters")  # texts in a PNG file that say how the picture was painted
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # of the others, one (EPS) would start Ghostscript
ACCEPTED = "a picture (PNG, JPEG, WebP, GIF, BMP, TIFF), a PDF, or text (plain or Markdown, in UTF-8)"


def open_image(content: bytes, name: str, settings: Settings) -> Image:
    """Decode a picture to RGB; `BadInput` where it is none, is cut short, or has too many pixels.

    `info["media_type"]` of the result names the format found; how the picture was painted (`MAKING`) is left behind,
    because it would not be true of what a tool makes of it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = opened.size
        if width * height > settings.max_pixels_millions * 1e6:
            raise BadInput(_too_many_pixels(name, f"{width} x {height} pixels", settings))
        media_type = Image.MIME.get(opened.format or "", "image/unknown")
        turn = TURNS.get(opened.getexif().get(ORIENTATION))
        picture = opened.transpose(Image.Transpose[turn]) if turn else opened
        if picture.mode.startswith("I;16"):  # convert alone would cut the greys off at 255
            picture = picture.convert("I").point(lambda grey: grey / 256).convert("L")
        picture = _on_white(picture)
    except Image.DecompressionBombError:
        raise BadInput(f"{name!r} has more pixels than can be opened. Scale it down and attach it again.") from None
    except UnidentifiedImageError:
        raise BadInput(f"{name!r} is no file that Maru reads. Attach {ACCEPTED}.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"The picture {name!r} is damaged ({error}). Save it anew and attach it again.") from None
    picture.info = {key: value for key, value in picture.info.items() if key not in MAKING}  # true of this file alone
    picture.info["media_type"] = media_type
    return picture


def _on_white(picture: Image) -> Image:
    """Make RGB of any mode; what is transparent becomes white, as on a page."""
    from PIL import Image

    if not picture.has_transparency_data:
        return picture.convert("RGB")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    return page.convert("RGB")


def _too_many_pixels(name: str, what: str, settings: Settings) -> str:
    return (
        f"{name!r} has {what}; the limit is {settings.max_pixels_millions:.0f} million. "
        "Scale it down and attach it again, or raise ASSISTANT_MAX_PIXELS_MILLIONS."
    )
