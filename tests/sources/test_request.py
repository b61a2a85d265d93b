"""Where a URL may lead: only to the addresses that were checked, and only where the team meant to go."""

import datetime
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from curate.sources import request
from curate.sources.request import DownloadError, is_public, open_url, shown
from curate.specs.source import Download
from tests.sources.serving import Site, redirect, send_file, serving, trickle

LOCAL = Download(allow_private=True, retries=0, read_timeout_s=5, timeout_s=10)
GUARDED = LOCAL.model_copy(update={"allow_private": False})


def _speaks_six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


SIX = _speaks_six()


def read(url: str, limits: Download = LOCAL) -> bytes:
    with open_url(url, {}, limits, time.monotonic() + limits.timeout_s) as response:
        return response.read()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/a.mp4": b"footage"})) as site:
        yield site


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "239.1.2.3", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "::7f00:1", "nonsense",
    ],
)  # fmt: skip
def test_an_address_off_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_refused_however_it_is_written(site: Site, host: str) -> None:
    with pytest.raises(DownloadError, match="not a public address|no address for"):
        read(site.url("/a.mp4", host), GUARDED)
    assert site.asked == []


def test_one_private_address_among_public_ones_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "resolve", lambda host, port: ["93.184.216.34", "10.0.0.7"])
    with pytest.raises(DownloadError, match=r"video\.example leads to 10\.0\.0\.7"):
        read("http://video.example/a.mp4", GUARDED)


def test_a_resolver_that_changes_its_answer_leads_nowhere_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is checked and connected to; a second, which names this server, is never asked for."""
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    monkeypatch.setattr(request, "resolve", lambda host, port: next(answers))
    monkeypatch.setattr(request, "is_public", lambda address: address == "127.0.0.2")
    monkeypatch.setattr(socket, "gethostbyname", lambda host: pytest.fail("resolved behind the check"))
    with pytest.raises(DownloadError, match="cannot connect"):
        read(f"http://rebinding.example:{site.port}/a.mp4", GUARDED)
    assert site.asked == []
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://127.0.0.1:{port}/a.mp4", "leads to 127.0.0.1"),
        ("http://169.254.169.254/latest/meta-data/", "leads to 169.254.169.254"),
        ("//localhost:{port}/a.mp4", "leads to"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("ftp://127.0.0.2/a.mp4", "not an http or https URL"),
        ("http://user:secret@127.0.0.2:{port}/a.mp4", "must not carry a user or password"),
    ],
)
def test_a_redirect_is_checked_as_the_url_was(location: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "is_public", lambda address: address == "127.0.0.2")
    with serving(Site(files={"/a.mp4": b"footage"}), host="0.0.0.0") as site:
        site.answers["/start"] = redirect(location.format(port=site.port))
        with pytest.raises(DownloadError, match=message) as caught:
            read(site.url("/start", "127.0.0.2"), GUARDED)
        assert site.asked == [("/start", None)]
        assert "secret" not in str(caught.value)


def test_named_hosts_are_all_that_is_asked_redirected_or_not(site: Site) -> None:
    site.answers["/away"], site.answers["/here"] = redirect(site.url("/a.mp4", "localhost")), redirect("/a.mp4")

    def read_at(host: str, path: str) -> bytes:
        with open_url(site.url(path), {}, LOCAL, time.monotonic() + 10, {host}) as response:
            return response.read()

    named = f"127.0.0.1:{site.port}"
    assert read_at(named, "/a.mp4") == read_at(named, "/here") == b"footage"
    asked = len(site.asked)
    for host, path in ((named, "/away"), ("127.0.0.1:80", "/a.mp4"), (f"localhost:{site.port}", "/a.mp4")):
        with pytest.raises(DownloadError, match="is at a host that is not allowed"):
            read_at(host, path)
    assert [path for path, _ in site.asked[asked:]] == ["/away"]


def test_redirects_are_followed_to_their_limit(site: Site) -> None:
    site.answers["/1"], site.answers["/2"] = redirect("/2"), redirect("a.mp4")
    assert read(site.url("/1")) == b"footage"
    with pytest.raises(DownloadError, match="redirected more than 1 times"):
        read(site.url("/1"), LOCAL.model_copy(update={"redirects": 1}))


def test_a_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert read(site.url("/a.mp4")) == b"footage"


@pytest.mark.skipif(not SIX, reason="no IPv6 on this machine")
def test_an_ipv6_literal_is_reached() -> None:
    with serving(Site(files={"/a.mp4": b"footage"}), host="::1") as site:
        heard: list[str] = []
        site.answers["/host"] = lambda handler: heard.append(handler.headers["Host"]) or send_file(handler, site)
        site.files["/host"] = b"footage"
        assert read(site.url("/host", "[::1]")) == b"footage"
        assert heard == [f"[::1]:{site.port}"]


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_byte_now_and_then_ends_at_the_time_limit(site: Site, head: bytes) -> None:
    site.answers["/slow"] = trickle(head)
    with pytest.raises(DownloadError, match=r"took longer than 0\.5 s"):
        read(site.url("/slow"), LOCAL.model_copy(update={"timeout_s": 0.5}))


def test_silence_is_a_lost_connection(site: Site) -> None:
    site.answers["/silent"] = lambda handler: time.sleep(3)
    with pytest.raises(DownloadError, match="no answer in time"):
        read(site.url("/silent"), LOCAL.model_copy(update={"read_timeout_s": 0.2}))


def test_a_query_and_a_password_are_not_shown() -> None:
    assert shown("https://me:secret@host.example/a.mp4?token=secret") == "https://host.example/a.mp4?..."


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key with a certificate for video.example, trusted in this test alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "video.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("video.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certified.pem"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(encoding))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def tls(certificate: Path, site: Site) -> list[str | None]:
    """Puts the running site behind TLS; the names that clients ask for gather in the list."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    return asked


def test_tls_is_checked_against_the_name_while_the_connection_goes_to_the_checked_address(
    site: Site, certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "resolve", lambda host, port: ["127.0.0.1"])
    names = tls(certified, site)
    assert read(f"https://video.example:{site.port}/a.mp4") == b"footage"
    assert names == ["video.example"]
    with pytest.raises(DownloadError, match=r"certificate of other\.example is not valid"):
        read(f"https://other.example:{site.port}/a.mp4")


def test_a_redirect_from_https_to_http_is_refused(site: Site, certified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "resolve", lambda host, port: ["127.0.0.1"])
    with serving(Site(files={"/a.mp4": b"footage"})) as bare:
        site.answers["/start"] = redirect(bare.url("/a.mp4"))
        tls(certified, site)
        with pytest.raises(DownloadError, match="redirected from https to http://127"):
            read(f"https://video.example:{site.port}/start")
        assert bare.asked == []
