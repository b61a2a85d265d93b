"""Annotators' accounts, on a real Label Studio."""

import pytest

from curate.errors import InputError
from labeling.accounts import invite_link, sign_up
from labeling.client import Server, session
from tests.labeling.conftest import PASSWORD, Desk

pytestmark = pytest.mark.server


def test_who_has_the_link_signs_up_and_works_under_a_name_of_their_own(desk: Desk, second: Server) -> None:
    assert invite_link(desk.server).startswith(f"{desk.server.url}/user/signup/?token=")
    with session(second) as client:
        assert client.users.whoami().email == "second@example.org"


def test_an_account_that_exists_is_not_made_again(desk: Desk, second: Server) -> None:
    with pytest.raises(InputError, match=r"no account was made for second@example\.org. It may exist"):
        sign_up(desk.server, "second@example.org", PASSWORD)
