"""A real Chromium without a window, driven by Playwright.

Playwright is a package of `requirements.txt`; the browser is the one of this machine (Debian: `apt-get install
chromium`). Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WAIT = 20_000  # milliseconds for anything that a page does


def find() -> str | None:
    """The path of a Chromium on this machine; `CHROMIUM` names another one. None where none can be driven."""
    if importlib.util.find_spec("playwright") is None:
        return None
    if chosen := os.environ.get("CHROMIUM"):
        return shutil.which(chosen)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def started(path: str) -> Iterator[Browser]:
    """The browser, with a profile of its own that is deleted afterwards."""
    # Here, so that the rest of this package does without it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=WAIT)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, size: dict[str, int] | None = None) -> Iterator[Page]:
    """A page in a window of its own, without cookies of another."""
    context = browser.new_context(viewport=size or DESKTOP, locale="en-GB")
    context.set_default_timeout(WAIT)
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()
