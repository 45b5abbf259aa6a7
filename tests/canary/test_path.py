"""The way that an attempt went, as its answer tells it."""

import pytest

from canary.config import CanaryConfig
from canary.path import VERSION_TEXT_MAX, Map


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"x-fivenines-version": "2.1.0"}, "2.1.0"),
        ({"x-fivenines-version": "v" * 500}, "v" * VERSION_TEXT_MAX),
        ({"x-fivenines-version": ""}, None),
        ({}, None),
    ],
)
def test_the_router_that_answers_says_what_it_runs(headers: dict[str, str], version: str | None) -> None:
    """The version is the header's, cut to a bounded length; without one it is not known."""
    path = Map(CanaryConfig()).path(None, {"x-router": "az1-router-1", **headers}, None)
    assert (path.router, path.software_version) == ("az1-router-1", version)
