"""The harness itself: what the tests of the ledger stand on does what it says."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from databases import Cluster, is_alive
from outages import Proxy, small_filesystem

WaitFor = Callable[[Callable[[], bool]], None]


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=60)


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that these tests break."""
    with Cluster(fsync=False) as made:
        yield made


def test_a_database_is_empty_and_gone_after_the_test(cluster: Cluster, postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        connection.execute("CREATE TABLE here (number INTEGER)")
    other = cluster.create_database()
    with connect(other) as connection:
        assert connection.execute("SELECT 1 FROM pg_tables WHERE tablename = 'here'").fetchall() == []
        cluster.drop_database(other)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_it_listens_on_loopback_only_and_takes_a_hundred_clients(cluster: Cluster) -> None:
    names = ("fsync", "listen_addresses", "unix_socket_directories", "max_connections")
    assert [cluster.execute(f"SHOW {name}")[0][0] for name in names] == ["off", "127.0.0.1", "", "100"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_committed_is_there_after_a_restart_on_the_same_port(own: Cluster, mode: str) -> None:
    url = own.create_database()
    with connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        own.restart(mode)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_a_killed_cluster_recovers_and_leaves_no_process(own: Cluster) -> None:
    url = own.create_database()
    with connect(url) as connection:
        backend = connection.info.backend_pid
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

        own.kill()

    assert not own.running
    assert not is_alive(backend)
    with pytest.raises(psycopg.OperationalError):
        connect(url)
    own.start()
    with connect(url) as fresh:
        assert fresh.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_an_administrator_breaks_all_connections(own: Cluster, wait_for: WaitFor) -> None:
    url = own.create_database()
    those_before = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname <> 'postgres'"
    wait_for(lambda: own.execute(those_before) == [])  # the server lets go of a connection in its own time
    with connect(url) as one, connect(url) as two:
        assert own.terminate_backends() == 2
        for connection in (one, two):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert own.terminate_backends() == 0


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)did not start.*no_such_setting"):
        Cluster(no_such_setting="1")


def test_a_cluster_ends_with_the_tests_that_are_killed(wait_for: WaitFor) -> None:
    source = """
        import os, pathlib, signal
        from databases import Cluster
        cluster = Cluster(fsync=False)
        print(cluster.folder, pathlib.Path(cluster.folder, "data", "postmaster.pid").read_text().split()[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    helpers = str(Path(__file__).parents[1])
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([helpers, *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL
    folder, server = child.stdout.split()
    wait_for(lambda: not is_alive(int(server)) and not Path(folder).exists())


# The proxy.


def test_a_cut_holds_a_statement_and_its_end_lets_it_go_on(proxy: Proxy) -> None:
    with connect(proxy.url) as connection, concurrent.futures.ThreadPoolExecutor(1) as thread:
        proxy.cut()
        answer = thread.submit(lambda: connection.execute("SELECT 7").fetchall())
        with pytest.raises(concurrent.futures.TimeoutError):
            answer.result(0.3)
        proxy.mend()
        assert answer.result(60) == [(7,)]


def test_a_new_connection_hangs_while_it_is_cut(proxy: Proxy) -> None:
    proxy.cut()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(proxy.url.replace("+psycopg", ""), connect_timeout=2)


def test_a_statement_is_executed_though_its_answer_never_comes(
    proxy: Proxy, postgres_url: str, wait_for: WaitFor
) -> None:
    with connect(postgres_url) as direct, connect(proxy.url) as connection:
        direct.execute("CREATE TABLE kept (number INTEGER)")
        proxy.cut(answers_only=True)
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            answer = thread.submit(connection.execute, "INSERT INTO kept VALUES (7)")
            wait_for(lambda: direct.execute("SELECT number FROM kept").fetchall() == [(7,)])
            proxy.refuse()
            with pytest.raises(psycopg.OperationalError):
                answer.result(60)


def test_a_refusing_proxy_breaks_connections_and_takes_none_until_it_is_mended(proxy: Proxy, wait_for: WaitFor) -> None:
    with connect(proxy.url) as connection:
        assert proxy.connections == 1
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect(proxy.url)
    proxy.mend()
    with connect(proxy.url) as connection:
        assert connection.execute("SELECT 7").fetchall() == [(7,)]
    wait_for(lambda: proxy.connections == 0)


def test_megabytes_pass_unchanged_both_ways(proxy: Proxy) -> None:
    text = "slot" * 1_000_000
    with connect(proxy.url) as connection:
        assert connection.execute("SELECT %s", [text]).fetchone() == (text,)


# The file system, and the fixtures.


def test_a_small_file_system_fills_up_and_is_freed_again() -> None:
    with small_filesystem(1_000_000) as disk:
        connection = sqlite3.connect(disk.folder / "tasks.db")
        connection.execute("CREATE TABLE kept (text TEXT)")
        disk.fill()
        with pytest.raises(sqlite3.OperationalError, match="full"), connection:
            connection.execute("INSERT INTO kept VALUES (?)", ["x" * 100_000])
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (disk.folder / "other").write_bytes(b"x" * 10_000)
        disk.free()
        (disk.folder / "other").unlink()
        with connection:
            connection.execute("INSERT INTO kept VALUES (?)", ["x" * 100_000])
        connection.close()
        folder = disk.folder
    assert not folder.exists()


def test_each_kind_of_store_has_its_url(store_url: str) -> None:
    assert urlsplit(store_url).scheme in ("sqlite", "postgresql+psycopg")


def test_each_kind_of_store_has_its_url_and_memory_none(
    any_store_url: str | None, request: pytest.FixtureRequest
) -> None:
    begins = {"memory": "None", "sqlite": "sqlite:///", "postgresql": "postgresql+psycopg://postgres@127.0.0.1:"}
    assert str(any_store_url).startswith(begins[request.node.callspec.id])
