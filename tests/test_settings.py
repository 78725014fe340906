"""Settings from the environment and ``.env``: what is taken, and how the rest is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.chain.profiles import PROFILES
from steembot.errors import SettingsError, StartError
from steembot.settings import load

HOME = {"HOME": "/home/ann"}


@pytest.fixture
def read(tmp_path):
    """Read settings from the given variables, and from ``.env`` where a test wrote one."""
    return lambda **variables: load(HOME | variables, tmp_path)


@pytest.fixture
def dotenv(tmp_path):
    """Write ``.env``."""
    return (tmp_path / ".env").write_text


def test_nothing_set_is_steem_from_the_head(read):
    """Without any setting a process follows Steem, from the head, with the documented defaults."""
    settings = read()
    assert settings.chain == "steem"
    assert settings.nodes == PROFILES["steem"].nodes
    assert settings.quorum == 1
    assert settings.node_rate == 30
    assert settings.start is None
    assert settings.socket == Path("/run/steembot/broadcaster.sock")
    assert settings.state_dir == Path("/home/ann/.local/state/steembot")
    assert settings.log_blocks == 28_800  # a day of 3 s each
    assert settings.virtual_ops is False
    assert settings.bot_name == "bot"
    assert settings.handlers == "steembot.bot.handlers.new_posts"
    assert settings.mode == "head"
    assert settings.log_level == "info"


def test_every_setting_is_taken(read):
    """Each variable reaches its field, as the type it stands for."""
    settings = read(
        STEEMBOT_CHAIN="hive",
        STEEMBOT_NODES="https://one.example, http://127.0.0.1:8090/ ,https://[::1]:8091/rpc",
        STEEMBOT_QUORUM="2",
        STEEMBOT_NODE_RATE="5",
        STEEMBOT_START="49324466",
        STEEMBOT_SOCKET="/tmp/feed.sock",
        STEEMBOT_STATE_DIR="/srv/steembot",
        STEEMBOT_LOG_BLOCKS="1200",
        STEEMBOT_VIRTUAL_OPS="1",
        STEEMBOT_BOT_NAME="new-posts_2.1",
        STEEMBOT_HANDLERS="my_bots.tips",
        STEEMBOT_MODE="irreversible",
        STEEMBOT_LOG_LEVEL="debug",
        STEEMBOT_METRICS="[::1]:9464",
    )
    assert settings.metrics == ("::1", 9464)
    assert settings.chain == "hive"
    assert settings.quorum == 2
    assert settings.node_rate == 5
    assert settings.nodes == (
        "https://one.example",
        "http://127.0.0.1:8090",
        "https://[::1]:8091/rpc",
    )
    assert settings.start == 49324466
    assert settings.socket == Path("/tmp/feed.sock")
    assert settings.state_dir == Path("/srv/steembot")
    assert settings.log_blocks == 1200
    assert settings.virtual_ops is True
    assert settings.bot_name == "new-posts_2.1"
    assert settings.handlers == "my_bots.tips"
    assert settings.mode == "irreversible"
    assert settings.log_level == "debug"


WRONG = [
    ("STEEMBOT_CHAIN", "bitcoin", "steem, hive"),
    ("STEEMBOT_CHAIN", "Steem", "steem, hive"),
    ("STEEMBOT_NODES", "api.steemit.com", "https://"),
    ("STEEMBOT_NODES", "ftp://api.steemit.com", "https://"),
    ("STEEMBOT_NODES", "https://", "https://"),
    ("STEEMBOT_NODES", "https://[::1", "https://"),
    ("STEEMBOT_NODES", "https://a.example https://b.example", "commas"),
    ("STEEMBOT_NODES", "https://a.example;https://b.example", "commas"),
    ("STEEMBOT_NODES", ",", "https://"),
    ("STEEMBOT_NODES", "https://a.example,", "a URL is missing beside a comma"),
    ("STEEMBOT_NODES", "https://a.example,,https://b.example", "a URL is missing beside a comma"),
    ("STEEMBOT_NODES", "https://a.example:99999", "65535"),
    ("STEEMBOT_NODES", "https://a.example:port", "65535"),
    ("STEEMBOT_NODES", "wss://api.steemit.com", "WebSocket nodes are not supported, because"),
    ("STEEMBOT_NODES", "ws://127.0.0.1:8090", "WebSocket nodes are not supported, because"),
    ("STEEMBOT_QUORUM", "0", "from 1 to 100"),
    ("STEEMBOT_QUORUM", "4", "STEEMBOT_NODES names 3, so allowed is 1 to 3"),
    ("STEEMBOT_NODE_RATE", "0", "from 1 to 10000"),
    ("STEEMBOT_NODE_RATE", "2.5", "from 1 to 10000"),
    ("STEEMBOT_START", "tail", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "0", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "-1", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "4294967295", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "1e6", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "\u0661\u0662", "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_START", "9" * 5000, "head, or a block number from 1 to 4294967294"),
    ("STEEMBOT_SOCKET", "broadcaster.sock", "an absolute path"),
    ("STEEMBOT_SOCKET", "~nobody-of-that-name/feed.sock", "an absolute path"),
    ("STEEMBOT_SOCKET", "/" + "x" * 107, "107 bytes"),
    ("STEEMBOT_SOCKET", "/" + "\u00fc" * 54, "107 bytes"),
    ("STEEMBOT_STATE_DIR", "state", "an absolute path"),
    ("STEEMBOT_STATE_DIR", "./state", "an absolute path"),
    ("STEEMBOT_LOG_BLOCKS", "99", "from 100 to 100000000"),
    ("STEEMBOT_LOG_BLOCKS", "100000001", "from 100 to 100000000"),
    ("STEEMBOT_LOG_BLOCKS", "a day", "from 100 to 100000000"),
    ("STEEMBOT_VIRTUAL_OPS", "yes", "0 and 1"),
    ("STEEMBOT_VIRTUAL_OPS", "2", "0 and 1"),
    ("STEEMBOT_BOT_NAME", "../bot", "letters, digits"),
    ("STEEMBOT_BOT_NAME", "b" * 65, "1 to 64"),
    ("STEEMBOT_BOT_NAME", "my bot", "letters, digits"),
    ("STEEMBOT_HANDLERS", "my-bots", "a module's name"),
    ("STEEMBOT_HANDLERS", "bots/tips.py", "a file's absolute path"),
    ("STEEMBOT_HANDLERS", ".tips", "a module's name"),
    ("STEEMBOT_MODE", "safe", "head, irreversible"),
    ("STEEMBOT_LOG_LEVEL", "verbose", "debug, info, warning, error"),
    ("STEEMBOT_LOG_LEVEL", "INFO", "debug, info, warning, error"),
    ("STEEMBOT_METRICS", "0.0.0.0:9464", "127.0.0.1:PORT"),
    ("STEEMBOT_METRICS", "127.0.0.1:0", "127.0.0.1:PORT"),
    ("STEEMBOT_METRICS", "127.0.0.1:65536", "127.0.0.1:PORT"),
    ("STEEMBOT_METRICS", "metrics", "a folder's absolute path"),
    ("STEEMBOT_CHAIN_ID", "AB" * 32, "64 hex digits in small letters"),
    ("STEEMBOT_CHAIN_ID", "ab" * 31, "64 hex digits in small letters"),
    ("STEEMBOT_PROXY", "proxy.example:3128", "http://proxy.example:3128"),
    ("STEEMBOT_PROXY", "socks5://proxy.example", "http://proxy.example:3128"),
    ("STEEMBOT_PROXY", "http://proxy.example/path", "http://proxy.example:3128"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_wrong_value_is_named_with_what_is_allowed(read, name, value, allowed):
    """A wrong value's error names the variable, the value and what is allowed, in one line."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    error = caught.value
    assert (error.name, error.value) == (name, value)
    text = str(error)
    assert text.startswith(f"{name}={value!r}: ")
    assert allowed in text
    assert "\n" not in text
    assert isinstance(error, StartError)  # and so ends the process with status 78


def test_another_fork_of_the_chain_needs_nodes_of_its_own(read):
    """Its id is in force everywhere; the chain's own id is no other chain."""
    other = "ab" * 32
    with pytest.raises(SettingsError, match=r"STEEMBOT_NODES.*STEEMBOT_CHAIN_ID"):
        read(STEEMBOT_CHAIN_ID=other)
    settings = read(STEEMBOT_CHAIN_ID=other, STEEMBOT_NODES="https://a.example")
    assert settings.profile.chain_id == other
    assert settings.chain_key == f"steem-{other}"
    assert read(STEEMBOT_CHAIN_ID="0" * 64).chain_key == "steem"


def test_a_proxys_password_is_not_shown(read):
    """Neither where it is wrong."""
    assert read(STEEMBOT_PROXY="http://ann:secret@p.example").proxy.endswith("@p.example:80")
    with pytest.raises(SettingsError) as caught:
        read(STEEMBOT_PROXY="https://ann:secret@p.example")
    assert "secret" not in str(caught.value)


def test_a_node_named_twice_is_refused(read):
    """The same node twice is a mistake: it would be asked again just after it failed."""
    with pytest.raises(SettingsError, match="twice"):
        read(STEEMBOT_NODES="https://a.example,https://a.example/")


@pytest.mark.parametrize(
    "twin",
    [
        "https://A.Example",
        "https://a.example:443/",
        "https://a.example./",
        "https://a.example/./x/..",
        "https://ann:secret@a.example",
        "https://a.example/%2e/",
    ],
)
def test_the_same_node_in_another_form_is_refused(read, twin):
    """Two names of one node would make a quorum of two of one (RFC 3986, section 6.2)."""
    with pytest.raises(SettingsError, match="twice") as caught:
        read(STEEMBOT_NODES=f"https://a.example,{twin}")
    assert "secret" not in str(caught.value)


def test_other_ports_paths_and_schemes_are_other_nodes(read):
    """What may be another node is taken for one."""
    nodes = "https://a.example,https://a.example:8443,https://a.example/rpc,http://a.example"
    assert len(read(STEEMBOT_NODES=nodes).nodes) == 4


def test_of_several_nodes_the_wrong_one_is_named(read):
    """Among many nodes the error shows the one that is wrong, not the list."""
    with pytest.raises(SettingsError) as caught:
        read(STEEMBOT_NODES="https://a.example,wss://b.example,https://c.example")
    assert caught.value.value == "wss://b.example"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("STEEMBOT_NODE", "STEEMBOT_NODES"),
        ("STEEMBOT_HANDLER", "STEEMBOT_HANDLERS"),
        ("STEEMBOT_LOGLEVEL", "STEEMBOT_LOG_LEVEL"),
        ("STEEMBOT_STATEDIR", "STEEMBOT_STATE_DIR"),
        ("STEEMBOT_chain", "STEEMBOT_CHAIN"),
        ("STEEMBOT_", None),
        ("STEEMBOT_VOLUME", None),
    ],
)
@pytest.mark.parametrize("value", ["x", ""])
def test_an_unknown_setting_suggests_the_near_one(read, name, near, value):
    """A misspelt name stops the process, set or blank, and the error says which was meant."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    text = str(caught.value)
    assert text.startswith(f"{name}={value!r}: unknown setting; ")
    assert ("did you mean" in text) == (near is not None)
    assert near is None or f"did you mean {near}?" in text
    assert "known are STEEMBOT_BOT_NAME, " in text


def test_other_programs_variables_are_none_of_our_business(read, dotenv):
    """Names that do not begin with STEEMBOT_ are not looked at, wherever they stand."""
    dotenv("DATABASE_URL=postgres://\nSTEEM_NODE=x\nSTEEMBOTS=1\n")
    assert read(STEEMBOTX="1", PATH="/bin").chain == "steem"


def test_what_tests_are_told_does_not_stop_a_process(read, dotenv):
    """STEEMBOT_CHAINDATA is for the tests; a process that inherits it runs."""
    dotenv("STEEMBOT_CHAINDATA=/data\n")
    assert read(STEEMBOT_CHAINDATA="/data") == read()


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("name", sorted({name for name, *_ in WRONG}))
def test_a_blank_value_is_the_default(read, name, blank):
    """A blanked line of a settings file means the default."""
    assert read(**{name: blank}) == read()


def test_blanks_around_a_value_do_not_matter(read):
    """A blank that somebody left behind a value is not part of it."""
    assert read(STEEMBOT_CHAIN=" hive ", STEEMBOT_START="5 ").start == 5


def test_dotenv_is_read(read, dotenv):
    """Settings may stand in .env: quoted, exported, commented, with a byte order mark."""
    dotenv(
        "\ufeffSTEEMBOT_CHAIN=hive\n"
        "# STEEMBOT_MODE=wrong\n"
        "export STEEMBOT_BOT_NAME='tips'  # whose\n"
        'STEEMBOT_NODES="https://a.example,https://b.example"\n'
        "STEEMBOT_STATE_DIR=/srv/$HOME\n"
    )
    settings = read()
    assert settings.chain == "hive"
    assert settings.bot_name == "tips"
    assert settings.nodes == ("https://a.example", "https://b.example")
    assert settings.state_dir == Path("/srv/$HOME")  # taken as it stands


def test_the_environment_wins_over_dotenv(read, dotenv):
    """What systemd or a shell says counts for more than a file that lies around."""
    dotenv("STEEMBOT_CHAIN=hive\nSTEEMBOT_START=7\n")
    settings = read(STEEMBOT_CHAIN="steem")
    assert (settings.chain, settings.start) == ("steem", 7)


def test_dotenv_is_that_of_the_working_directory(tmp_path, monkeypatch):
    """Without a directory named it is the working directory's .env, and no parent's."""
    (tmp_path / ".env").write_text("STEEMBOT_START=7\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load(HOME).start == 7
    monkeypatch.chdir(tmp_path / "below")
    assert load(HOME).start is None


def test_files_that_are_named_take_the_place_of_dotenv(read, dotenv, tmp_path):
    """The later file wins, the environment wins over both, and one that is missing is no error."""
    dotenv("STEEMBOT_CHAIN=hive\n")
    (tmp_path / "a").write_text("STEEMBOT_MODE=irreversible\nSTEEMBOT_LOG_LEVEL=error\n")
    (tmp_path / "b").write_text("; STEEMBOT_CHAIN=hive\nSTEEMBOT_LOG_LEVEL='debug'\n")
    files = f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/missing"
    settings = read(STEEMBOT_SETTINGS_FILES=files)
    assert (settings.chain, settings.mode, settings.log_level) == ("steem", "irreversible", "debug")
    settings = read(STEEMBOT_SETTINGS_FILES=files, STEEMBOT_LOG_LEVEL="warning")
    assert settings.log_level == "warning"


def test_a_named_file_has_an_absolute_path(read):
    """A settings file whose place depends on the working directory is refused."""
    with pytest.raises(SettingsError, match=r"STEEMBOT_SETTINGS_FILES='b': .*absolute path"):
        read(STEEMBOT_SETTINGS_FILES="/a:b")


def test_a_named_file_is_no_setting(read, dotenv):
    """Which files are read is not said in one of them."""
    dotenv("STEEMBOT_SETTINGS_FILES=/a\n")
    with pytest.raises(SettingsError, match="STEEMBOT_SETTINGS_FILES"):
        read()


def test_one_bot_among_several_has_handlers_of_its_own(read, tmp_path):
    """The shared file speaks of the first bot's handlers; its own file and the unit do not."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.write_text("STEEMBOT_HANDLERS=first\nSTEEMBOT_MODE=irreversible\n")
    of_unit = {
        "STEEMBOT_SETTINGS_FILES": f"{shared}:{own}",
        "STEEMBOT_INSTANCE_HANDLERS": "/bots/tips.py",
    }
    settings = read(**of_unit)
    assert (settings.handlers, settings.mode) == ("/bots/tips.py", "irreversible")
    own.write_text("export STEEMBOT_HANDLERS=tips  # installed\nWEBHOOK=https://a.example\n")
    settings = read(**of_unit)
    assert settings.handlers == "tips"
    assert settings.files == (shared, own)
    assert settings.variables == {"WEBHOOK": "https://a.example"}


def test_a_working_directory_that_is_gone_has_no_dotenv(tmp_path, monkeypatch):
    """A process whose working directory was removed starts all the same."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert load(HOME).start is None
    finally:
        os.chdir(tmp_path)


def test_a_wrong_value_in_dotenv_is_named_too(read, dotenv):
    """An error does not depend on where the setting stands."""
    dotenv("STEEMBOT_MODE=safe\n")
    with pytest.raises(SettingsError, match="STEEMBOT_MODE='safe': allowed are head, irreversible"):
        read()


def test_a_path_with_a_nul_is_refused(read, dotenv):
    """No system call takes such a path, so no process starts with one."""
    dotenv("STEEMBOT_SOCKET=/tmp/\0feed\n")
    with pytest.raises(SettingsError, match="STEEMBOT_SOCKET"):
        read()


def test_the_state_directory_is_systemds(read):
    """Under systemd state lies where the unit says, in its first directory."""
    variables = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}
    assert read(**variables).state_dir == Path("/var/lib/a")
    assert read(**variables, STEEMBOT_STATE_DIR="/srv").state_dir == Path("/srv")


def test_the_state_directory_is_the_users(read):
    """Without systemd it lies where the XDG base directory specification says."""
    assert read(XDG_STATE_HOME="/x").state_dir == Path("/x/steembot")
    # The specification: a relative path is to be ignored.
    assert read(XDG_STATE_HOME="x").state_dir == Path("/home/ann/.local/state/steembot")


@given(
    st.dictionaries(
        st.sampled_from(sorted({name for name, *_ in WRONG})),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    )
)
def test_any_values_are_settings_or_a_settings_error(variables):
    """Whatever a person writes, it is taken or refused as a setting; nothing else is raised."""
    try:
        settings = load(HOME | variables, Path("/nonexistent"))
    except SettingsError as error:
        refused = error
    else:
        assert settings.socket.is_absolute()
        assert settings.nodes
        return
    assert refused.name in variables
    assert "\n" not in str(refused)


@pytest.mark.parametrize("name", ["STEEMBOT_POSTING_KEY", "STEEMBOT_WIF", "STEEMBOT_TOKEN"])
def test_a_key_in_the_wrong_place_is_not_shown(name, tmp_path):
    """What looks like a secret by its name does not reach the journal."""
    with pytest.raises(SettingsError) as caught:
        load({name: "5JsecretSecret"}, tmp_path)
    assert name in str(caught.value)
    assert "5J" not in str(caught.value)
