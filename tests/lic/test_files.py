"""Files are read whole with one clear line for every failure, and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lic import files
from lic.errors import DataError, UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and devices of POSIX")


@pytest.fixture
def mortal():
    """An open directory, while the process is nobody where it was root: root may do everything."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        place.chmod(0o755)
        shutil.rmtree(place)


@pytest.fixture
def umask_027():
    before = os.umask(0o027)
    yield
    os.umask(before)


def refusal(function, *arguments) -> str:
    """The one line of the DataError that this call must raise."""
    with pytest.raises(DataError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert text.isprintable()
    return text


def permissions(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.bin"
    for data in (b"first", b"2nd", bytes(range(256)) * 9000):
        files.write_atomically(path, data)
        assert files.read_bytes(path) == data
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_name_in_the_present_directory_is_written_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_atomically("plain", b"x")
    assert (tmp_path / "plain").read_bytes() == b"x"


def test_the_longest_lawful_name_is_written(tmp_path):
    path = tmp_path / ("n" * 255)
    files.write_atomically(path, b"x")
    assert files.read_bytes(path) == b"x"


@posix
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path, umask_027):
    files.write_atomically(tmp_path / "a", b"x")
    assert permissions(tmp_path / "a") == 0o640


@posix
def test_an_existing_file_keeps_its_permissions(tmp_path, umask_027):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o666)
    files.write_atomically(tmp_path / "a", b"new")
    assert permissions(tmp_path / "a") == 0o666
    assert (tmp_path / "a").read_bytes() == b"new"


@posix
def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(Path("there") / "target")
    files.write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "there") == ["target"]


@posix
def test_a_dangling_link_gets_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    files.write_atomically(tmp_path / "link", b"x")
    assert (tmp_path / "target").read_bytes() == b"x"


@posix
def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "circle" in refusal(files.write_atomically, tmp_path / "a", b"x")
    assert "circle" in refusal(files.read_bytes, tmp_path / "a")


@posix
def test_a_device_is_written_directly_and_stays_a_device():
    # Not /dev/null: where the code is wrong and root runs this, it would be a plain file afterwards.
    ours, theirs = os.openpty()
    try:
        name = os.ttyname(theirs)
        files.write_atomically(name, b"hello")
        assert os.read(ours, 5) == b"hello"
        assert stat.S_ISCHR(os.stat(name).st_mode)
    finally:
        os.close(ours)
        os.close(theirs)


@posix
def test_a_pipe_is_written_and_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = b"0123456789" * 30_000
    writer = threading.Thread(target=files.write_atomically, args=(pipe, data))
    writer.start()
    assert files.read_bytes(pipe) == data
    writer.join()
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_one_line(mortal):  # who cannot replace a device, where the code is wrong
    assert "full" in refusal(files.write_atomically, "/dev/full", b"x")


@posix
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    import resource

    path = tmp_path / "a"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a real error in the middle of writing
    try:
        line = refusal(files.write_atomically, path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in line
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted(*_):
        assert len(os.listdir(tmp_path)) == 2  # the temporary file lies beside its target
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path):
    path = tmp_path / "a"
    contents = [bytes([i]) * 300_000 for i in range(8)]
    writers = [threading.Thread(target=files.write_atomically, args=(path, c)) for c in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


def test_what_cannot_be_written_is_one_line_with_its_path(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for path, reason in [
        (tmp_path, "directory"),
        (tmp_path / "missing" / "a", "no such file or directory"),
        (tmp_path / "file" / "a", "not a directory"),
        (tmp_path / ("n" * 300), "too long"),
    ]:
        line = refusal(files.write_atomically, path, b"x")
        assert str(path) in line
        assert reason in line
    assert "directory" in refusal(files.write_atomically, "", b"x")
    assert "null" in refusal(files.write_atomically, "a\0b", b"x")
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_a_directory_without_permission_is_one_line(mortal):
    mortal.chmod(0o555)
    assert "permission denied" in refusal(files.write_atomically, mortal / "a", b"x")


@posix
def test_a_write_protected_file_is_not_replaced(mortal):
    path = mortal / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    assert "permission denied" in refusal(files.write_atomically, path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(mortal) == ["a"]


@posix
def test_a_file_that_may_not_be_read_is_one_line(mortal):
    path = mortal / "a"
    path.write_bytes(b"x")
    path.chmod(0)
    assert "permission denied" in refusal(files.read_bytes, path)


def test_what_cannot_be_read_is_one_line_with_its_path(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for path, reason in [
        (tmp_path / "missing", "no such file"),
        (tmp_path, "directory"),
        (tmp_path / "empty", "empty"),
        (tmp_path / "empty" / "a", "not a directory"),
    ]:
        line = refusal(files.read_bytes, path)
        assert str(path) in line
        assert reason in line
    assert "''" in refusal(files.read_bytes, "")
    assert "null" in refusal(files.read_bytes, "a\0b")


def test_a_file_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, limit=5) == b"12345"
    assert "more than 4 bytes" in refusal(lambda: files.read_bytes(path, limit=4))


@posix
def test_an_endless_pipe_ends_at_the_limit(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def write_on():
        with contextlib.suppress(BrokenPipeError), open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            while True:
                pipe.write(bytes(100_000))

    writer = threading.Thread(target=write_on)
    writer.start()
    assert "more than" in refusal(lambda: files.read_bytes(tmp_path / "pipe", limit=3_000_000))
    writer.join(10)
    assert not writer.is_alive()


@posix
def test_devices_and_sockets_are_no_files_to_read(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(tmp_path / "socket"))  # a short name, as sockets want it
    with listener:
        assert "this is a socket" in refusal(files.read_bytes, tmp_path / "socket")
        assert "this is a socket" in refusal(files.write_atomically, tmp_path / "socket", b"x")
    assert "device or terminal" in refusal(files.read_bytes, "/dev/zero")
    assert "device or terminal" in refusal(files.read_bytes, "/dev/tty")


@posix
def test_a_pipe_without_another_end_is_waited_for_only_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    assert "nobody writes into this pipe" in refusal(files.read_bytes, tmp_path / "pipe")
    assert "nobody reads from this pipe" in refusal(files.write_atomically, tmp_path / "pipe", b"x")


@posix
def test_a_writer_that_has_come_is_waited_for(tmp_path, monkeypatch):
    """As `compress <(a slow download)`."""
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    os.mkfifo(tmp_path / "pipe")

    def think_and_write():
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            for part in (b"slow ", b"and ", b"steady"):
                time.sleep(0.4)
                pipe.write(part)

    writer = threading.Thread(target=think_and_write)
    writer.start()
    assert files.read_bytes(tmp_path / "pipe") == b"slow and steady"
    writer.join()


@posix
def test_a_slow_reader_gets_everything(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data, got = os.urandom(300_000), []

    def come_late():
        time.sleep(0.3)
        with open(tmp_path / "pipe", "rb", buffering=0) as pipe:
            while part := pipe.read(9_000):
                got.append(part)
                time.sleep(0.01)

    reader = threading.Thread(target=come_late)
    reader.start()
    files.write_atomically(tmp_path / "pipe", data)
    reader.join()
    assert b"".join(got) == data


def test_a_strange_name_is_shown_in_one_printable_line(tmp_path):
    line = refusal(files.read_bytes, str(tmp_path / "two\nlines\udcff\x1b[31m"))
    assert "two\\nlines\\udcff\\x1b[31m" in line


# Asked beforehand -----------------------------------------------------------------------------------------------------

def test_only_a_regular_file_with_something_in_it_passes_for_a_file(tmp_path):
    (tmp_path / "file").write_text("a")
    files.require_file(tmp_path / "file")
    (tmp_path / "empty").write_text("")
    os.symlink("nowhere", tmp_path / "link")
    for name, says in (("empty", "the file is empty"), ("none", "no such file"), ("link", "no such file"),
                       (".", "this is a directory"), ("file/a", "a part of this path is a file")):
        with pytest.raises(DataError, match=says):
            files.require_file(tmp_path / name)


@posix
def test_pipe_does_not_pass_for_a_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no regular file"):
        files.require_file(tmp_path / "pipe")


@posix
def test_file_that_may_not_be_read_does_not_pass(mortal):
    (mortal / "sealed").write_text("a")
    (mortal / "sealed").chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        files.require_file(mortal / "sealed")


def test_nothing_and_an_empty_folder_pass_for_a_new_folder(tmp_path):
    (tmp_path / "file").write_text("a")
    (tmp_path / "empty").mkdir()
    os.symlink("nowhere", tmp_path / "link")
    files.require_new_folder(tmp_path / "none")
    files.require_new_folder(tmp_path / "empty")
    for name in ("file", "link", "."):
        with pytest.raises(UsageError, match="exists and is not empty"):
            files.require_new_folder(tmp_path / name)


def test_beginning_of_a_file_and_nothing_of_what_is_none_or_of_a_pipe(tmp_path):
    (tmp_path / "file").write_bytes(b"beginning")
    os.mkfifo(tmp_path / "pipe")
    assert files.beginning(tmp_path / "file", 5) == b"begin"
    assert [files.beginning(tmp_path / name) for name in ("pipe", "none", "", "zero\0")] == [b""] * 4
