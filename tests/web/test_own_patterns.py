"""The patterns of the server's own routes, which plugins cannot use."""

import pytest

from tests.conftest import Harness, changed
from tests.web.api_docs.test_openapi import routes
from tornado_chat import config
from tornado_chat.web.application import own_patterns


@pytest.fixture(params=[True, False])
def settings(settings: config.Config, request: pytest.FixtureRequest) -> config.Config:
    return changed(settings, "web", pages=request.param)


@pytest.mark.gen_test
async def test_they_are_the_patterns_of_the_application(harness: Harness) -> None:
    served = [pattern for pattern, _ in routes(harness.server.application)]
    assert sorted(own_patterns(with_pages=harness.config.web.pages)) == sorted(served)
