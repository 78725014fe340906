"""The socket of the server: made, found, inherited, never stolen."""

from __future__ import annotations

import os
import stat

import pytest
import zmq

from steembot.errors import SocketError
from steembot.feed.server import FeedServer
from tests.feed.ends import Driven, as_nobody, forged, listening, public_folder
from tests.feed.memory_chain import MemoryChain


def test_a_socket_of_our_own_is_for_user_and_group(driven):
    """Without systemd the socket is made with mode 0660, and gone when the server is."""
    assert stat.S_IMODE(driven.path.stat().st_mode) == 0o660
    driven.server.close()
    assert not driven.path.exists()


def test_the_folder_of_the_socket_is_made(chain, tmp_path):
    """A missing folder is made, for user and group."""
    with Driven(chain, tmp_path / "run" / "feed.sock") as driven:
        assert driven.path.is_socket()
        assert stat.S_IMODE(driven.path.parent.stat().st_mode) & 0o007 == 0


def test_a_socket_that_another_process_serves_is_left_to_it(driven):
    """A second server is refused with words, and the first one goes on."""
    with pytest.raises(SocketError, match=r"another process serves .* already") as caught:
        FeedServer(MemoryChain(), chain="steem", path=driven.path, listener=None)
    assert str(driven.path) in str(caught.value)
    assert driven.subscriber().blocks(3) == [1, 2, 3]


def test_a_socket_that_systemd_holds_is_not_stolen(chain, tmp_path):
    """A path on which systemd listens is served by somebody, even while no process runs."""
    path = tmp_path / "feed.sock"
    with listening(path), pytest.raises(SocketError, match="another process serves"):
        FeedServer(chain, chain="steem", path=path, listener=None)


def test_a_socket_that_nobody_serves_is_replaced(chain, tmp_path):
    """What a killed server left behind is no obstacle."""
    path = tmp_path / "feed.sock"
    listening(path).close()
    assert path.is_socket()
    with Driven(chain, path) as driven:
        assert driven.subscriber().blocks(3) == [1, 2, 3]


def test_a_file_that_is_no_socket_is_not_touched(chain, tmp_path):
    """Somebody's file at that path stays what it is."""
    path = tmp_path / "feed.sock"
    path.write_text("dear diary")
    with pytest.raises(SocketError, match="there is a file that is no socket"):
        FeedServer(chain, chain="steem", path=path, listener=None)
    assert path.read_text() == "dear diary"


def test_a_folder_that_cannot_be_made_is_named(chain, tmp_path):
    """Where no socket can be made the error says where and why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SocketError, match=r"cannot listen on .*feed\.sock: .*/file$"):
        FeedServer(chain, chain="steem", path=tmp_path / "file" / "feed.sock", listener=None)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
def test_a_folder_that_we_may_not_write_is_named():
    """A user who may not make the socket is told so."""
    code = """
        try:
            FeedServer(MemoryChain(), chain="steem", path=path, listener=None)
        except SocketError as error:
            print(error)
    """
    with public_folder() as folder:
        path = folder / "feed.sock"
        assert as_nobody(code, path) == f"cannot listen on {path}: Permission denied\n"


def test_an_inherited_socket_outlives_the_server(chain, tmp_path):
    """On systemd's descriptor a client that came before the server is served, and the path stays.

    libzmq closes the descriptor itself, so each server gets one of its own, as a process would.
    """
    path = tmp_path / "feed.sock"
    with listening(path) as holder:
        inode = path.stat().st_ino
        context = zmq.Context()
        early = context.socket(zmq.DEALER)
        early.connect(f"ipc://{path}")
        early.send(forged())
        for _ in range(3):
            with Driven(chain, path, os.dup(holder.fileno())) as driven:
                driven.until(lambda: driven.server.clients == 1)
                assert driven.subscriber().blocks(3) == [1, 2, 3]
                if early is not None:
                    early.close(0)
                    early = context.socket(zmq.DEALER)
            assert path.stat().st_ino == inode
            early.connect(f"ipc://{path}")
            early.send(forged())
        context.destroy(linger=0)
