"""Agreement between workers on several hosts: execnet's socket servers, each in a folder of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.run.agreement.test_xdist import APART, counted_text

pytest.importorskip("xdist")
from execnet.script import socketserver


@pytest.fixture
def hosts(project):
    """Two servers with copies of the project; what tells xdist of them."""
    servers, arguments = [], []
    try:
        for name in ("one", "two"):
            folder = project.path / name
            folder.mkdir()
            for file in ("conftest.py", "test_net.py"):
                shutil.copy(project.path / file, folder)
            (folder / "pytest.ini").write_text("[pytest]\n")
            temporary = folder / "temporary"
            temporary.mkdir()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                address = f"127.0.0.1:{free.getsockname()[1]}"
            command = [sys.executable, socketserver.__file__, address]
            environment = {**os.environ, "TMPDIR": str(temporary)}
            servers.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL))
            arguments += ["--tx", f"socket={address}//chdir={folder}"]
            _wait_for(address)
        yield arguments
    finally:
        for server in servers:
            server.kill()
            server.wait()


def _wait_for(address):
    """Until the server is up: by its port, which is taken then, and not by a connection, of which it serves one."""
    for _ in range(200):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", int(address.partition(":")[2])))
            except OSError:
                return
        time.sleep(0.05)
    raise TimeoutError(address)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_records_travel_by_a_folder_that_all_hosts_see(project, request, shared):
    runs, records = project.path / "runs.txt", project.path / "records"
    project.write(counted_text(runs, APART.format(third="pass")))
    tx = request.getfixturevalue("hosts")
    arguments = [f"--graph-records={records}"] if shared else []
    project.run(*tx, "--dist", "load", *arguments, apart=True, passed=3)
    assert sorted(runs.read_text().split()) == (["ref", "third"] if shared else ["ref", "third", "third"])
    if shared:
        assert [place.name for place in records.iterdir()] == ["test_net.py"]  # the run's own folder was removed
