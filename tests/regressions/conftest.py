"""The stage of the end-to-end tests, for tests that work a member in this process."""

from tests.e2e.conftest import stage as stage
