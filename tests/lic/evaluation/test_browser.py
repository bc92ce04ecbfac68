"""The report in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

REPORT = Path(__file__).resolve().parents[3] / "res" / "eval" / "kodak" / "index.html"


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
def test_report_fits_the_width_and_shows_every_picture(chromium, width):
    context = chromium.new_context(viewport={"width": width, "height": 900}, is_mobile=width < 400)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(REPORT.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing stands out over the side"
    widths = page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth && image.width)")
    assert len(widths) > 10 and min(widths) > 150
    assert asked and all(url.startswith("file:") for url in asked)
    context.close()
