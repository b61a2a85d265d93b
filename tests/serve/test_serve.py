"""The server from outside: many clients at once, kills at bad moments, and what it refuses."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from curate.analyze.embed import load_embedder
from curate.model.infer import segment
from curate.model.segmenter import Segmenter, Shape, save_model
from curate.serve.jobs import Jobs
from curate.specs.analysis import Embedding
from curate.workspace import Workspace, create_workspace
from tests.processes import is_running, wait_until
from tests.serve.conftest import (
    DEFINITIONS,
    Server,
    ended,
    is_running_jobs,
    request,
    serving,
    starting,
    stop,
    wait_for_workers,
)
from tests.sources.serving import Site, redirect
from tests.sources.serving import serving as site_serving

SAMPLE = Embedding(model="sample", weights="sample")
LIMITS = {"workers": 2, "queue": 25, "definitions": 3, "body_bytes": 20_000, "asset_bytes": 100_000, "video_s": 30}


@pytest.fixture(scope="module")
def site(videos: Path) -> Iterator[Site]:
    with site_serving(Site(files={"/a.mp4": (videos / "a.mp4").read_bytes()})) as site:
        site.answers["/elsewhere"] = redirect(site.url("/a.mp4", host="localhost"))
        yield site


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, videos: Path, site: Site) -> Iterator[Server]:
    """One for all tests that leave it running."""
    workspace = create_workspace(tmp_path_factory.mktemp("serve") / "workspace", sample=True)
    (workspace.configs / "serve.yaml").write_text(yaml.safe_dump(LIMITS))
    allowed = ("--root", str(videos), "--allow-url", f"127.0.0.1:{site.port}", "--allow-private")
    with serving(workspace, *allowed) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_fifty_clients_at_once_are_answered_or_told_to_come_back(client: httpx.Client, videos: Path) -> None:
    asked = [(f"{'ab'[number % 2]}.mp4", ["red", "green"][number // 2 % 2]) for number in range(50)]
    right = {
        (video, name): segment(videos / video, [DEFINITIONS[name]], embedding=SAMPLE)
        for video in ("a.mp4", "b.mp4")
        for name in ("red", "green")
    }
    assert all(answer[name] for (_, name), answer in right.items())

    def ask(what: tuple[str, str]) -> tuple[dict[str, Any], int]:
        refused = 0
        while (reply := client.post("/v1/analyze", json=request(*what))).status_code != 202:
            assert (reply.status_code, reply.json()["error"]["what"]) == (429, "25 jobs wait, as many as may")
            assert int(reply.headers["Retry-After"]) >= 1
            refused += 1
            health = client.get("/health")
            assert (health.status_code, health.json()["jobs"]["failed"]) == (200, 0)
            time.sleep(0.5)
        assert reply.headers["Location"] == f"/v1/jobs/{reply.json()['id']}"
        return ended(client, reply.json()["id"]), refused

    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(ask, asked))
    for what, (job, _) in zip(asked, found, strict=True):
        assert (job["status"], job["result"]["data"], job["attempts"]) == ("done", right[what], 1)
        assert (job["result"]["duration_s"], job["result"]["start_offset_s"], job["result"]["lost"]) == (2.0, 0.0, "")
    assert sum(refused for _, refused in found) >= 1
    assert len({job["id"] for job, _ in found}) == 50


def test_a_url_is_fetched_and_an_upload_kept(client: httpx.Client, server: Server, site: Site, videos: Path) -> None:
    content = (videos / "a.mp4").read_bytes()
    uploads = [client.post("/v1/assets", content=content, headers={"Content-Type": "video/mp4"}) for _ in range(2)]
    assert [upload.status_code for upload in uploads] == [201, 201]
    assert uploads[0].json() == uploads[1].json()
    asset = uploads[0].json()["asset_id"]
    names = [{"path": "a.mp4"}, {"asset_id": asset}, {"url": f"{site.url('/a.mp4')}?signature=secret"}]
    site.files["/a.mp4?signature=secret"] = content
    jobs = [client.post("/v1/analyze", json=request("a.mp4") | {"video": video}).json() for video in names]
    results = [ended(client, job["id"])["result"] for job in jobs]
    assert results[0]["data"]["red"] and results == [results[0]] * 3
    assert jobs[2]["video"] == {"url": f"{site.url('/a.mp4')}?..."}
    away = ended(
        client, client.post("/v1/analyze", json={**request(""), "video": {"url": site.url("/elsewhere")}}).json()["id"]
    )
    assert away["status"] == "failed" and "is at a host that is not allowed" in away["error"]["what"]


def test_a_trained_model_answers_under_its_name_and_damage_is_said(
    client: httpx.Client, server: Server, videos: Path
) -> None:
    embedder = load_embedder(SAMPLE)
    directory = server.workspace.models / "random"
    save_model(directory, Segmenter(Shape(dim=embedder.dim, width=32)), {"embedding_model": embedder.model_id})
    save_model(server.workspace.models / "other", Segmenter(Shape(dim=8, width=32)), {"embedding_model": "another"})
    jobs = {
        model: client.post("/v1/analyze", json=request("cut.mp4") | {"model": model}).json()["id"]
        for model in ("random", "other")
    }
    found = ended(client, jobs["random"])
    assert (found["status"], found["model"]) == ("done", "random")
    right = segment(videos / "cut.mp4", [DEFINITIONS["red"]], model=directory, embedding=SAMPLE)
    assert found["result"]["data"] == right
    assert found["result"]["lost"].endswith("cut short")
    assert ended(client, jobs["other"])["error"]["what"].startswith("the model was trained on vectors of another")


def test_a_video_that_cannot_be_used_fails_its_job_alone(client: httpx.Client) -> None:
    jobs = [client.post("/v1/analyze", json=request(name)).json()["id"] for name in ("broken.mp4", "long.mp4", "a.mp4")]
    broken, long, good = (ended(client, job) for job in jobs)
    assert broken["status"] == "failed" and broken["result"] is None and broken["error"]["what"]
    assert long["error"]["what"] == "a video of 300 s, longer than the 30 s that the server takes"
    assert good["status"] == "done"


def test_a_key_makes_it_safe_to_ask_again(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "mine"}
    first = client.post("/v1/analyze", json=request("a.mp4"), headers=key)
    ended(client, first.json()["id"])
    again = client.post("/v1/analyze", json=request("a.mp4"), headers=key)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, first.json()["id"], "done")
    other = client.post("/v1/analyze", json=request("b.mp4"), headers=key)
    assert (other.status_code, other.json()["error"]["where"]) == (409, "mine")
    assert client.post("/v1/analyze", json=request("a.mp4"), headers={"Idempotency-Key": "x" * 201}).status_code == 400


REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "not JSON": ({"content": b"{"}, 400),
    "of a type that a page may send": ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    "with too many definitions": ({"json": request("a.mp4", *["red"] * 4)}, 400),
    "too large": ({"json": {"video": "x" * 30_000}}, 413),
    "too large, in chunks": ({"content": iter([b" " * 15_000] * 2)}, 413),
    "a file that is not there": ({"json": request("none.mp4")}, 400),
    "a file outside": ({"json": request("/etc/passwd")}, 403),
    "a URL elsewhere": ({"json": {**request(""), "video": {"url": "http://example.org/a.mp4"}}}, 403),
    "no URL": ({"json": {**request(""), "video": {"url": "file:///etc/passwd"}}}, 400),
    "an asset that is a path": ({"json": {**request(""), "video": {"asset_id": "../jobs.sqlite"}}}, 400),
    "a model that is not there": ({"json": {**request("a.mp4"), "model": "none"}}, 400),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line_and_leaves_nothing(client: httpx.Client, what: str) -> None:
    before = client.get("/health").json()["jobs"]
    asked, status = REFUSED[what]
    headers = {"Content-Type": "application/json"} | asked.get("headers", {})
    reply = client.post("/v1/analyze", **{**asked, "headers": headers})
    error = reply.json()["error"]
    assert (reply.status_code, sorted(error)) == (status, ["fix", "what", "where"])
    assert error["what"] and "\n" not in error["what"]
    assert sum(client.get("/health").json()["jobs"].values()) == sum(before.values())


def test_an_upload_that_is_too_large_or_cut_off_leaves_nothing(client: httpx.Client, server: Server) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    assert client.post("/v1/assets", content=b"x" * 100_001, headers=headers).status_code == 413
    assert client.post("/v1/assets", content=iter([b"x" * 60_000] * 2), headers=headers).status_code == 413
    assert client.post("/v1/assets", content=b"", headers=headers).status_code == 400
    assert client.post("/v1/assets", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_jobs_are_listed_counted_and_forgotten(client: httpx.Client) -> None:
    made = [client.post("/v1/analyze", json=request("a.mp4")).json()["id"] for _ in range(3)]
    for job_id in made:
        ended(client, job_id)
    listed = [job["id"] for job in client.get("/v1/jobs?status=done&limit=2").json()["jobs"]]
    assert listed == made[:0:-1]
    older = client.get("/v1/jobs", params={"before": made[1], "limit": 1}).json()["jobs"]
    assert [job["id"] for job in older] == made[:1]
    for query in ("status=odd", "limit=many", "limit=-1"):
        assert client.get(f"/v1/jobs?{query}").status_code == 400
    assert client.delete(f"/v1/jobs/{made[0]}").status_code == 204
    assert client.delete(f"/v1/jobs/{made[0]}").status_code == client.get(f"/v1/jobs/{made[0]}").status_code == 404
    counts = client.get("/health").json()["jobs"]
    text = client.get("/metrics").text
    assert f'curate_jobs{{state="done"}} {float(counts["done"])}' in text
    assert 'curate_http_requests_total{method="DELETE",route="/v1/jobs/{id}",status="204"} 1.0' in text
    assert "curate_queue_depth 0.0" in text and "curate_workers_ready 2.0" in text
    assert client.get("/nowhere").json()["error"]["what"] == "no such address"
    assert client.put("/v1/jobs").status_code == 405


def test_a_second_server_over_one_workspace_is_refused(server: Server) -> None:
    with starting(server.workspace) as second:
        _, said = second.communicate()
    assert second.returncode == 1
    assert "another `serve` is running in this workspace" in said


def test_no_kill_loses_an_accepted_job_or_answers_one_twice(
    make_workspace: Callable[..., Workspace], videos: Path
) -> None:
    workspace = make_workspace(workers=1, stop_s=0)
    with serving(workspace, "--root", str(videos)) as server, server.client() as client:
        jobs = [
            client.post("/v1/analyze", json=request(name)).json()["id"] for name in ["a.mp4"] * 2 + ["long.mp4"] * 5
        ]
        shown = [ended(client, job) for job in jobs[:2]]
        wait_until(lambda: is_running_jobs(client))
        workers = server.workers()
        server.kill()
    wait_until(lambda: not any(is_running(worker) for worker in workers))

    with serving(workspace, "--root", str(videos)) as server, server.client() as client:
        for how in (signal.SIGKILL, signal.SIGSEGV):
            wait_until(lambda: is_running_jobs(client))
            (running,) = client.get("/v1/jobs?status=running").json()["jobs"]
            (worker,) = server.workers()
            os.kill(worker, how)
            job = ended(client, running["id"])
            if how == signal.SIGKILL:
                assert (job["status"], job["attempts"]) == ("done", 3)
            else:
                assert (job["status"], job["error"]["what"]) == ("failed", "the worker crashed (SIGSEGV)")
        wait_until(lambda: is_running_jobs(client))
        (given_up,) = client.get("/v1/jobs?status=running").json()["jobs"]
        assert client.delete(f"/v1/jobs/{given_up['id']}").status_code == 204
        wait_until(lambda: is_running_jobs(client))
        assert [client.get(f"/v1/jobs/{job}").json() for job in jobs[:2]] == shown, "what was shown stays as it was"
        assert client.get(f"/v1/jobs/{given_up['id']}").status_code == 404
        assert stop(server) == 0

    queue = Jobs(workspace.state / "serve" / "jobs.sqlite", most_queued=1, most_attempts=3)
    assert [(job.state, job.attempts) for job in queue.unfinished()] == [("queued", 0)] * 2
    queue.close()


def test_a_server_for_other_machines_does_not_start_without_a_token(make_workspace: Callable[..., Workspace]) -> None:
    with starting(make_workspace(), "--host", "0.0.0.0") as process:
        assert "CURATE_SERVE_TOKEN is not set" in process.communicate()[1]
        assert process.returncode == 2


def test_a_model_that_cannot_be_had_ends_the_server_and_not_its_jobs(
    make_workspace: Callable[..., Workspace], videos: Path
) -> None:
    workspace = make_workspace(workers=1)
    analysis = workspace.configs / "analysis.yaml"
    analysis.write_text(yaml.safe_dump({"embedding": {"model": "ViT-B-32", "weights": "no-such-file.pt"}}))
    with serving(workspace, "--root", str(videos)) as server, server.client() as client:
        job = client.post("/v1/analyze", json=request("a.mp4")).json()["id"]
        server.process.wait()
        assert server.process.returncode == 1
        assert server.process.stderr is not None and "no job runs: " in server.process.stderr.read()
    queue = Jobs(workspace.state / "serve" / "jobs.sqlite", most_queued=1, most_attempts=3)
    assert [(waits.id, waits.attempts) for waits in queue.unfinished()] == [(job, 0)]
    queue.close()


def test_workers_are_ready_before_the_first_job(server: Server) -> None:
    wait_for_workers(server, 2)
    assert len(server.workers()) == 2
