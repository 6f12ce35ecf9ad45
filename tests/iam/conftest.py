"""The worlds, resolved once."""

from __future__ import annotations

import pytest

from tests.iam import roles
from tests.iam.roles import World


@pytest.fixture(scope="session")
def world() -> World:
    """What AWS would have with parameters/ as it stands."""
    return roles.resolve()


@pytest.fixture(scope="session")
def accounts() -> World:
    """The same, with gamma and prod in accounts of their own."""
    return roles.resolve("accounts")


@pytest.fixture(scope="session")
def local() -> World:
    """What the local AWS has."""
    return roles.resolve("local")
