"""What is to be seen on a screenshot: read by the browser itself, which knows PNG."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

READ = """async png => {
  const picture = new Image();
  picture.src = 'data:image/png;base64,' + png;
  await picture.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, picture.width, picture.height).data.buffer);
  const times = new Map();
  for (const pixel of pixels) times.set(pixel, (times.get(pixel) || 0) + 1);
  return {colours: times.size, most: Math.max(...times.values()) / pixels.length};
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """``most``: the share of the colour that there is most of; of a blank page it is 1."""

    colours: int
    most: float


def seen(browser: Browser, png: bytes) -> Picture:
    """How many colours it has, and how much of the picture is one."""
    page = browser.new_page()
    try:
        return Picture(**page.evaluate(READ, base64.b64encode(png).decode("ascii")))
    finally:
        page.close()
