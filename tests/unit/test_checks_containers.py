"""Containers: looked at by `docker inspect`, a stopped one started, nothing else ever changed."""

from __future__ import annotations

import pytest

from flowguardian.ops import docker as docker_module
from flowguardian.ops.checks_containers import check_container, check_offered, container_checks
from flowguardian.ops.docker import Docker
from tests.stand_in_docker import calls, container, install

CALL_SECONDS = 20.0
EXITED = {"status": "exited"}


@pytest.fixture
def with_docker(tmp_path, monkeypatch):
    """A docker over these containers; returns the folder that knows what was asked."""

    def put(containers=None, broken=""):
        for name, value in install(tmp_path / "bin", containers, broken).items():
            monkeypatch.setenv(name, value)
        return tmp_path / "bin"

    return put


def check(name="pg", wait=0.0):
    return check_container(name, Docker(CALL_SECONDS), wait)


def test_a_healthy_container_is_green_with_state_health_and_version(with_docker):
    folder = with_docker({"pg": container(env=["PATH=/bin", "PG_VERSION=16.4-1"])})
    line = check()
    assert (line.state, line.said.en) == ("ok", "pg: running, healthy, postgres:16 (16.4-1)")
    assert "start" not in " ".join(calls(folder))


def test_a_container_without_a_health_check_is_green_and_says_so(with_docker):
    with_docker({"pg": container(health="", labels={"org.opencontainers.image.version": "7.2"})})
    line = check()
    assert line.state == "ok" and "no health check" in line.said.en and "7.2" in line.said.en


@pytest.mark.parametrize("status", ["exited", "created"])
def test_a_stopped_container_is_started_waited_for_and_called_fixed(with_docker, status):
    folder = with_docker({"pg": container(status=status, looks=2)})
    line = check(wait=CALL_SECONDS)
    assert line.state == "fixed" and f"was {status}, started; running, healthy" in line.said.en
    assert "시작함" in line.said.ko
    assert calls(folder).count("start pg") == 1


def test_a_container_that_does_not_stay_up_is_red_with_its_exit_code(with_docker):
    with_docker({"pg": container(status="exited", after="exited", exit_code=137)})
    line = check()
    assert line.state == "red" and "137" in line.said.en and "docker logs --tail 50 pg" in line.remedy.en


def test_an_unhealthy_container_is_red_with_the_words_of_its_last_check(with_docker):
    with_docker({"pg": container(health="unhealthy", output="no response on 5432\n")})
    line = check()
    assert line.state == "red" and "no response on 5432" in line.said.en and "docker logs" in line.remedy.ko


def test_one_that_is_still_starting_after_the_wait_is_red(with_docker):
    with_docker({"pg": container(health="starting")})
    line = check(wait=0.0)
    assert line.state == "red" and "starting" in line.said.en


def test_a_paused_container_was_paused_by_somebody_and_is_left_alone(with_docker):
    folder = with_docker({"pg": container(status="paused")})
    line = check()
    assert line.state == "red" and "docker unpause pg" in line.remedy.en
    assert calls(folder) == ["inspect --type container pg"]


def test_a_container_that_does_not_exist_is_red_with_both_ways_out(with_docker):
    with_docker()
    line = check()
    assert line.state == "red" and "no such container" in line.said.en
    assert "docker compose up -d" in line.remedy.en and "doctor.containers" in line.remedy.en


def test_docker_that_is_not_installed_is_red_only_where_a_container_is_configured(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check().state == "red" and "not on the PATH" in check().said.en
    docker = Docker(CALL_SECONDS)
    assert check_offered((), docker).state == "ok"
    assert check_offered(("pg",), docker).state == "red"


def test_a_docker_without_its_daemon_is_red_with_its_own_words(with_docker):
    with_docker(broken="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    line = check()
    assert line.state == "red" and "Cannot connect" in line.said.en and "Start Docker" in line.remedy.en
    assert check_offered((), Docker(CALL_SECONDS)).state == "ok"


def test_a_docker_that_answers_nonsense_or_never_is_red_not_a_crash(with_docker, monkeypatch):
    with_docker({"pg": container()})
    monkeypatch.setattr(docker_module, "_container", lambda name, _: {name: 1}["State"])
    assert "cannot be read" in check().said.en
    line = check_container("pg", Docker(0.001), 0.0)
    assert line.state == "red" and "no answer within 0.001 s" in line.said.en


def test_containers_of_our_kind_that_nobody_configured_are_offered_and_not_touched(with_docker):
    folder = with_docker({
        "pg": container(),
        "cache": container(image="docker.io/valkey/valkey:8", ports="127.0.0.1:6379->6379/tcp", **EXITED),
        "web": container(image="nginx", ports="0.0.0.0:80->80/tcp"),
        "inner": container(image="redis:7", ports="6379/tcp"),
        "exporter": container(image="redisinsight:1", ports="0.0.0.0:6379->6379/tcp"),
    })  # fmt: skip
    line = check_offered(("pg",), Docker(CALL_SECONDS))
    assert line.state == "ok" and "cache (docker.io/valkey/valkey:8, exited)" in line.said.en
    assert "doctor.containers: [cache]" in line.remedy.en
    assert not any(word in line.said.en for word in ("nginx", "inner", "exporter", "pg"))
    assert not any(call.startswith("start") for call in calls(folder))


def test_each_configured_container_has_a_line_and_the_offer_comes_last():
    items = [item for item, _ in container_checks(("pg", "cache"), Docker(CALL_SECONDS), 0.0)]
    assert items == ["container pg", "container cache", "containers"]
