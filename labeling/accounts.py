"""Accounts of a Label Studio: the link by which annotators sign up, and accounts made for somebody.

An account is made with the invite link alone: the server's API makes users whose password nobody knows.
"""

from urllib.parse import urljoin

import httpx

from curate.errors import CurateError, InputError
from labeling.client import Server, authorities, session


def invite_link(server: Server) -> str:
    """Where somebody signs up as an annotator of this server. Whoever has the link can, until it is reset there.

    Raises:
        InputError: a refused token.
        CurateError: the server does not answer.
    """
    with session(server) as client:
        reply = client._client_wrapper.httpx_client.request("api/invite", method="GET")
        reply.raise_for_status()
        return urljoin(f"{server.url}/", reply.json()["invite_url"])


def sign_up(server: Server, email: str, password: str) -> Server:
    """Makes an account as a person does, by the invite link and its form.

    Args:
        password: 8 characters or more.

    Returns:
        The server with the new account's token: what it writes is that annotator's.

    Raises:
        InputError: the form was refused (the account exists, a short password), or a refused token.
        CurateError: the server does not answer, or gives the account no token.
    """
    link = invite_link(server)
    with (
        session(server),
        httpx.Client(base_url=server.url, verify=authorities(), timeout=60, trust_env=False) as browser,
    ):
        browser.get(link).raise_for_status()
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "email": email, "password": password}
        reply = browser.post(link, data=form, headers={"Referer": link})
        if not reply.is_redirect:
            fix = "It may exist already; a password has 8 characters or more"
            raise InputError(f"no account was made for {email}", where=server.url, fix=fix)
        token = browser.get("/api/current-user/token")
        if token.status_code != httpx.codes.OK:
            raise CurateError(f"the new account {email} has no token", where=server.url, fix="Allow legacy API tokens")
        return Server(server.url, token.json()["token"], server.pid)
