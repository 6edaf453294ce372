"""Draw the picture that social networks show with a link: python -m tools.card."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tools import chromium

STATIC = Path(__file__).parent.parent / "_static"
CARD = STATIC / "card.png"
PAGE = """<!DOCTYPE html><html lang="en"><style>
body {{ margin: 0; width: 1200px; height: 630px; background: #fff; color: #14212b;
  font-family: sans-serif; display: grid; place-content: center; justify-items: center; }}
svg {{ width: 640px; }} h1 {{ font-size: 84px; margin: 36px 0 8px; }}
p {{ font-size: 36px; margin: 0; color: #4a5a67; }}
</style>{logo}<h1>Vanishing gradients</h1><p>An interactive course, with exact numbers</p></html>"""


def draw(path: Path = CARD) -> None:
    """Write the card, in few colours so that it stays small."""
    logo = (STATIC / "logo.svg").read_text("utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 630})
        page.set_content(PAGE.format(logo=logo))
        page.screenshot(path=path)
        browser.close()
    Image.open(path).convert("RGB").quantize(32).save(path, optimize=True)


if __name__ == "__main__":
    draw()
