"""Tests with the mark `browser` wait for a real one; `-m "not browser"` is the suite without them."""

import pytest

# Whoever has one of these renders pages.
BROWSER_FIXTURES = {"site", "session"}


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs a real browser, and so takes long")
    config.addinivalue_line("markers", "container: builds and runs a container image, which takes minutes")


def pytest_collection_modifyitems(items):
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
