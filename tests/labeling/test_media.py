"""Clips from an S3 bucket and under signed links, to a real Label Studio and its page."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
import yaml
from moto.server import ThreadedMotoServer

from curate.errors import CurateError, InputError
from labeling.client import session
from labeling.media import media
from labeling.proxies import directory, proxy_name
from labeling.push import push
from tests.labeling.browser import CHROMIUM, account, logged_in
from tests.labeling.conftest import SERVER_VARIABLES, Desk
from tests.labeling.serving import SECRET, serving
from tests.labeling.steps import ABSENT, annotate_task, send, tasks

pytestmark = pytest.mark.server

DAY_S = 86_400


@pytest.fixture
def configure(desk: Desk) -> Iterator[Callable[..., None]]:
    """Writes configs/labeling.yaml."""
    path = desk.workspace.configs / "labeling.yaml"
    before = path.read_bytes() if path.exists() else None

    def write(**settings: Any) -> None:
        path.write_text(yaml.safe_dump(settings))

    yield write
    if before is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(before)


@pytest.fixture
def served(desk: Desk, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of clips that the workspace is configured for."""
    monkeypatch.setenv("CURATE_MEDIA_SECRET", SECRET)
    with serving(directory(desk.workspace)) as address:
        configure(media=address)
        yield address


def test_tasks_carry_links_that_play(desk: Desk, served: str) -> None:
    sent = send(desk, desk.capability("linked"), 3)
    for task in tasks(desk, sent.project_id):
        assert task.data["video"].startswith(f"{served}/clips/")
        reply = httpx.get(task.data["video"], headers={"Range": "bytes=0-99"})
        assert (reply.status_code, len(reply.content)) == (206, 100)
        left_s = task.data["video_until"] - time.time()
        assert 30 * DAY_S < left_s <= 31 * DAY_S


def test_links_are_renewed_by_the_next_push_once_little_of_their_time_is_left(
    desk: Desk, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = desk.capability("renewed")
    sent = send(desk, name, 2)
    before = {task.id: task.data for task in tasks(desk, sent.project_id)}
    annotate_task(desk.server, min(before), ABSENT)
    send(desk, name, 2)
    assert {task.id: task.data for task in tasks(desk, sent.project_id)} == before

    now = time.time
    monkeypatch.setattr("labeling.media.time.time", lambda: now() + 25 * DAY_S)
    again = send(desk, name, 2)
    found = tasks(desk, sent.project_id)
    after = {task.id: task.data for task in found}
    assert (again.pushed, again.project_id, set(after)) == (0, sent.project_id, set(before))
    for task, data in after.items():
        assert data["video_until"] == before[task]["video_until"] + 25 * DAY_S
        assert {**data, "video": "", "video_until": 0} == {**before[task], "video": "", "video_until": 0}
    assert [len(task.annotations) for task in found] == [1, 0]

    monkeypatch.setattr("labeling.media.time.time", lambda: now() + 35 * DAY_S)
    assert [httpx.get(data["video"]).status_code for data in before.values()] == [403, 403]
    assert [httpx.get(data["video"]).status_code for data in after.values()] == [200, 200]


def test_looking_for_links_to_renew_is_one_request_where_there_are_none(desk: Desk, served: str) -> None:
    sent = send(desk, desk.capability("fresh"), 3)
    with session(desk.server) as client:
        asked: list[httpx.Request] = []
        client._client_wrapper.httpx_client.httpx_client.event_hooks = {"request": [asked.append]}
        assert media(desk.workspace, desk.server).renew(client, sent.project_id) == 0
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("secret", "at", "words"),
    [
        (SECRET, "http://127.0.0.1:9", "nothing serves the clips there .*curate label serve"),
        ("another" * 5, None, "refuses our links.*same .CURATE_MEDIA_SECRET"),
        (SECRET, "studio", "is no server of clips .it answered"),
        (None, None, "CURATE_MEDIA_SECRET is not set.*openssl rand"),
        ("short", None, "CURATE_MEDIA_SECRET is too short"),
    ],
)
def test_what_keeps_clips_from_annotators_is_one_line_before_anything_is_sent(
    desk: Desk,
    served: str,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    secret: str | None,
    at: str | None,
    words: str,
) -> None:
    configure(media={"studio": f"{desk.server.url}/nowhere"}.get(at or "", at or served))
    if secret:
        monkeypatch.setenv("CURATE_MEDIA_SECRET", secret)
    else:
        monkeypatch.delenv("CURATE_MEDIA_SECRET")
    name = desk.capability("unserved")
    with pytest.raises(CurateError, match=words) as caught:
        send(desk, name, 1)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The endpoint of an S3 of our own, with an empty bucket `clips`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="clips")
    yield endpoint
    server.stop()


@pytest.fixture
def bucket(store: str, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket that the workspace is configured for."""
    for name, value in SERVER_VARIABLES.items():
        monkeypatch.setenv(name, value)
    configure(media="s3://clips/of/ours", s3_endpoint=store)
    return boto3.resource("s3", endpoint_url=store, region_name="us-east-1").Bucket("clips")


def test_label_studio_hands_out_its_own_links_to_a_bucket(desk: Desk, bucket: Any) -> None:
    sent = send(desk, desk.capability("bucketed"), 2)
    headers = {"Authorization": f"Token {desk.server.token}"}
    for task in tasks(desk, sent.project_id):
        assert task.data["video"].startswith("s3://clips/of/ours/")
        shown = httpx.get(f"{desk.server.url}/api/tasks/{task.id}", headers=headers, params={"resolve_uri": "true"})
        resolved = shown.json()["data"]["video"]
        link = httpx.get(httpx.URL(desk.server.url).join(resolved), headers=headers).headers["location"]
        assert "X-Amz-Signature" in link or "Signature" in parse_qs(urlsplit(link).query)
        reply = httpx.get(link, headers={"Range": "bytes=0-99"})
        assert (reply.status_code, len(reply.content), reply.headers["content-type"]) == (206, 100, "video/mp4")
    with session(desk.server) as client:
        media(desk.workspace, desk.server).attach(client, sent.project_id, "bucketed")
        [storage] = client.import_storage.s3.list(project=sent.project_id)
        assert not client.import_storage.local.list(project=sent.project_id)
    assert storage.aws_secret_access_key is None


def test_a_store_that_moved_is_the_same_storage(
    desk: Desk, bucket: Any, store: str, configure: Callable[..., None]
) -> None:
    name = desk.capability("moved_store")
    project = send(desk, name, 1).project_id
    configure(media="s3://clips/of/ours", s3_endpoint=store.replace("127.0.0.1", "localhost"))
    send(desk, name, 1)
    with session(desk.server) as client:
        [storage] = client.import_storage.s3.list(project=project)
    assert storage.s3endpoint == store.replace("127.0.0.1", "localhost")


def test_only_clips_that_are_missing_are_uploaded(desk: Desk, bucket: Any) -> None:
    name = desk.capability("uploaded")
    project = send(desk, name, 3).project_id
    keys = [urlsplit(task.data["video"]).path.lstrip("/") for task in tasks(desk, project)]
    bucket.Object(keys[0]).delete()
    written = {key: bucket.Object(key).last_modified for key in keys[1:]}
    time.sleep(1.1)  # S3 counts whole seconds
    assert send(desk, name, 3).pushed == 0
    assert {key: bucket.Object(key).last_modified for key in keys[1:]} == written
    assert bucket.Object(keys[0]).content_length > 0


@pytest.mark.parametrize("how", ["no bucket", "no keys", "no store"])
def test_a_bucket_that_cannot_be_used_is_one_line(
    desk: Desk, bucket: Any, store: str, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "no bucket":
        configure(media="s3://nothing-here", s3_endpoint=store)
    elif how == "no store":
        configure(media="s3://clips", s3_endpoint="http://127.0.0.1:9")
    else:
        for name in SERVER_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(InputError, match="the bucket cannot be used: .*AWS_ACCESS_KEY_ID") as caught:
        send(desk, desk.capability("no_bucket"), 1)
    assert "\n" not in str(caught.value)


def test_clips_that_wait_are_cut_again_by_the_next_push_where_the_cache_was_deleted(desk: Desk) -> None:
    name = desk.capability("lost")
    sent = send(desk, name, 2)
    waiting, other = (directory(desk.workspace) / proxy_name(clip) for clip in desk.clips(2)["clip_id"])
    before = waiting.read_bytes()
    for file in (waiting, other):
        file.unlink()
    found = push(desk.workspace, desk.order(name, desk.clips(3).tail(1)), desk.server)
    assert (found.pushed, found.project_id) == (1, sent.project_id)
    assert waiting.read_bytes() == before
    assert other.exists()


FRAMES_SHOWN = """async ([frames, fps]) => {
    const video = document.querySelector('video');
    const player = Htx.annotationStore.selected.objects.find((part) => part.type === 'video').ref.current;
    const shown = [];
    for (const frame of frames) {
        const presented = new Promise((done) => {
            video.requestVideoFrameCallback((_, picture) => done(picture));
            setTimeout(() => done({mediaTime: -1}), 10000);
        });
        player.goToFrame(frame);
        shown.push(Math.round((await presented).mediaTime * fps) + 1);
    }
    return shown;
}"""
"""Goes to frames of the timeline, and asks the browser which frame of the file it then shows."""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("kind", "rates"), [("served", ["30000/1001", "25", "30"]), ("bucket", ["30000/1001"])])
def test_in_a_browser_each_frame_of_the_timeline_is_that_frame_of_the_clip(
    desk: Desk, kind: str, rates: list[str], request: pytest.FixtureRequest
) -> None:
    """From another origin: without CORS and ranges nothing would be shown, or the first frame for ever."""
    request.getfixturevalue(kind)
    clips = urlsplit(desk.workspace.labeling().s3_endpoint or desk.workspace.labeling().media)
    sent = send(desk, desk.capability(f"played_{kind}"))
    by_rate = {task.data["fps_fraction"]: task for task in tasks(desk, sent.project_id)}
    with logged_in(
        desk.server, *account(desk.workspace.state / "label-studio"), clips=f"{clips.scheme}://{clips.netloc}"
    ) as person:
        for task in (by_rate[rate] for rate in rates):
            person.open(sent.project_id, task.id)
            assert person.watch() > 0.1
            wanted = [*range(task.data["frames"], 9, -7), 2, 3, 4, 5, 4, 3, 2, 1]
            assert person.page.evaluate(FRAMES_SHOWN, [wanted, task.data["fps"]]) == wanted
