"""Who may not use the socket is told which group to join."""

from __future__ import annotations

import grp
import os

import pytest

from steembot.feed.client import explain_permission
from tests.feed.ends import as_nobody, listening, public_folder

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")


def some_group() -> grp.struct_group:
    """A group that nobody is in, of those that there are."""
    return next(g for g in grp.getgrall() if g.gr_gid not in (0, 65534) and not g.gr_mem)


@ROOT_ONLY
@pytest.mark.parametrize("call", ["ask", "subscribe"])
def test_a_missing_permission_names_the_group(call):
    """Who may not use the socket is told which group to join, and how."""
    group = some_group()
    code = """
        try:
            if sys.argv[2] == "ask":
                ask_status(path, 1)
            else:
                FeedClient(path, name="b", types=["*"], mode="head", after=str).receive(1)
        except SocketError as error:
            print(error)
    """
    with public_folder() as folder, listening(folder / "feed.sock"):
        path = folder / "feed.sock"
        path.chmod(0o660)
        os.chown(path, 0, group.gr_gid)
        words = as_nobody(code, path, call)
        assert words == (
            f"no permission to use {path}: join the group {group.gr_name} "
            f"(usermod --append --groups {group.gr_name} USER, then log in again)\n"
        )


EXPLAIN = "print(explain_permission(path))"


@ROOT_ONLY
def test_a_folder_that_may_not_be_entered_names_its_group():
    """The permission that is missing may be that of any folder above the socket."""
    group = some_group()
    with public_folder() as folder:
        (folder / "a" / "b").mkdir(parents=True)
        path = folder / "a" / "b" / "feed.sock"
        with listening(path):
            path.chmod(0o666)
            for place in (folder / "a" / "b", folder / "a"):
                place.chmod(0o750)
                os.chown(place, 0, group.gr_gid)
                assert f"join the group {group.gr_name} " in as_nobody(EXPLAIN, path)


@ROOT_ONLY
def test_a_group_without_a_name_is_named_by_its_number():
    """A group that this machine has no name for still has a number."""
    with public_folder() as folder, listening(folder / "feed.sock"):
        path = folder / "feed.sock"
        path.chmod(0o660)
        os.chown(path, 0, 54321)
        assert "join the group 54321 " in as_nobody(EXPLAIN, path)


@ROOT_ONLY
def test_a_socket_for_its_owner_alone_names_the_owner():
    """Where no group would help, none is named."""
    with public_folder() as folder, listening(folder / "feed.sock"):
        path = folder / "feed.sock"
        path.chmod(0o600)
        words = as_nobody(EXPLAIN, path)
        assert words == f"no permission to use {path}: {path} is for the user root alone\n"


@ROOT_ONLY
def test_who_may_use_the_socket_is_told_nothing():
    """With permission, or without a socket, there is nothing to explain."""
    with public_folder() as folder, listening(folder / "feed.sock"):
        path = folder / "feed.sock"
        path.chmod(0o666)
        assert as_nobody(EXPLAIN, path) == "None\n"
        assert as_nobody(EXPLAIN, folder / "missing" / "feed.sock") == "None\n"


def test_a_socket_that_is_missing_is_no_matter_of_permission(tmp_path):
    """Where there is no socket yet, the client waits for it."""
    assert explain_permission(tmp_path / "feed.sock") is None
    assert explain_permission(tmp_path / "missing" / "feed.sock") is None
