"""Tests of the configuration: its sources, its values, and the report of all mistakes at once."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tornado_chat import config
from tornado_chat.config.loader import config_files, load
from tornado_chat.config.sections import Config, ConfigError, sample_ini

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the files of this machine in /etc out of the tests."""
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    return tmp_path / "x.ini"


def problems(ini: Path, text: str, *overrides: str) -> list[str]:
    """Return the mistakes in an ini file with this text, without the name of the file."""
    ini.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([ini], overrides, {"HOME": "/home/ada"})
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem).removeprefix(f"{ini}: ") for problem in caught.value.problems]


def problem(ini: Path, text: str, *overrides: str) -> str:
    (only,) = problems(ini, text, *overrides)
    return only


# Removed options


def test_a_removed_option_is_ignored_with_a_warning(
    ini: Path, caplog: pytest.LogCaptureFixture, expected_logs: list[str]
) -> None:
    expected_logs.append("has no effect since")
    ini.write_text("[web]\ncompression = whatever it was\npages = off\n")
    loaded = load([ini], ["web.compression=on"], {"HOME": "/home/ada"})
    assert not loaded.web.pages
    sentence = "[web] compression has no effect since 0.2.0: remove the line"
    assert loaded.warnings == [f"{ini}: {sentence}", f"--set: {sentence}"]
    loaded.log_warnings()
    assert caplog.messages == loaded.warnings
    assert "compression" not in sample_ini()
    assert all(
        option not in {field.name for field in fields(config.SECTIONS[section])}
        for section, options in config.REMOVED.items()
        for option in options
    )


# Moved options


def test_a_moved_option_is_read_at_its_old_place(ini: Path) -> None:
    ini.write_text("[auth]\nguests_per_minute = 7\n")
    assert load([ini], [], {"HOME": "/home/ada"}).limits.guests_per_minute == 7
    override = ["auth.guests_per_minute=8"]
    assert load([ini], override, {"HOME": "/home/ada"}).limits.guests_per_minute == 8
    for (section, option), (new_section, new_option) in config.MOVED.items():
        assert option not in {field.name for field in fields(config.SECTIONS[section])}
        assert new_option in {field.name for field in fields(config.SECTIONS[new_section])}


# Sources


def test_defaults() -> None:
    loaded = load(None, [], {"HOME": "/home/ada"})
    assert loaded == Config().with_state_dir(Path("/home/ada/.local/state/tornado-chat"))
    assert loaded.storage.url == "sqlite:////home/ada/.local/state/tornado-chat/tornado-chat.sqlite3"


def test_later_files_and_then_overrides_win(tmp_path: Path) -> None:
    first, second = tmp_path / "1.ini", tmp_path / "2.ini"
    first.write_text("[server]\nport = 1\nlanguage = en\nhost = a\n")
    second.write_text("[server]\nport = 2\nlanguage = zh_CN\n")
    server = load([first, second], ["server.port=3", "server.port=4"], {}).server
    assert (server.port, server.language, server.host) == (4, "zh_CN", "a")


def test_files_of_the_environment(tmp_path: Path) -> None:
    names = [tmp_path / "1.ini", tmp_path / "2.ini"]
    for number, path in enumerate(names):
        path.write_text(f"[server]\nport = {number}\n")
    environ = {"TORNADO_CHAT_CONFIG": os.pathsep.join(map(str, names))}
    assert config_files(None, environ) == names
    assert load((), [], environ).server.port == 1
    assert load(names[:1], [], environ).server.port == 0


def test_files_of_etc() -> None:
    conf_d = config.ETC_DIR / "conf.d"
    conf_d.mkdir(parents=True)
    (conf_d / "20.ini").write_text("[server]\nport = 20\n")
    (conf_d / "10.ini").write_text("[server]\nport = 10\nhost = x\n")
    (conf_d / "README").write_text("not an ini file\n")
    assert config_files(None, {}) == [conf_d / "10.ini", conf_d / "20.ini"]
    (config.ETC_DIR / "tornado-chat.ini").write_text("[server]\nport = 1\nhost = y\nlanguage = en\n")
    server = load(None, [], {}).server
    assert (server.port, server.host, server.language) == (20, "x", "en")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/xdg"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/home/ada"}, "/xdg/tornado-chat"),
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/tornado-chat"),
    ],
)
def test_state_dir(environ: dict[str, str], expected: str) -> None:
    assert load(None, [], environ).state_dir == Path(expected)
    assert load(None, ["server.state_dir=/given"], environ).state_dir == Path("/given")


def test_state_dir_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(None, ["server.state_dir=here"], {})
    assert loaded.state_dir == tmp_path / "here"
    assert loaded.storage.url == f"sqlite:///{tmp_path}/here/tornado-chat.sqlite3"


def test_the_folder_of_the_database_may_be_the_state_directory_only(tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = [f"server.state_dir={state}", f"storage.url=sqlite:///{state}/chat.db"]
    assert load(None, options, {}).state_dir == state, "the server makes it"
    options[1] = f"storage.url=sqlite:///{state}/more/chat.db"
    with pytest.raises(ConfigError, match=f"the folder {state}/more does not exist"):
        load(None, options, {})
    (state / "more").mkdir(parents=True)
    assert load(None, options, {}).storage.url.endswith("/more/chat.db")


def test_a_configured_database_url_stays() -> None:
    url = "sqlite:////var/lib/chat.sqlite3"
    assert load(None, [f"storage.url={url}"], {"HOME": "/"}).storage.url == url


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.ini", tmp_path / "binary.ini"
    binary.write_bytes(b"[server]\nhost = \xff\n")
    with pytest.raises(ConfigError) as caught:
        load([missing, tmp_path, binary], [], {})
    assert str(caught.value).splitlines() == [
        f"{missing}: this file cannot be read: No such file or directory",
        f"{tmp_path}: this file cannot be read: Is a directory",
        f"{binary}: this file is not UTF-8: see byte 17",
    ]


def test_files_that_only_root_may_read_are_read_from_the_copies_of_systemd(tmp_path: Path) -> None:
    folder, copies = config.ETC_DIR / "credentials", tmp_path / "copies"
    for path in (folder, copies):
        path.mkdir(parents=True)
    for name in ("jwt_secret", "a.urls", "new"):
        (folder / name).write_text("x" * 64)
    for name in ("jwt_secret", "a.urls"):
        (copies / f"credentials_{name}").write_text("x" * 64)
    ini = tmp_path / "x.ini"
    ini.write_text(
        f"[auth]\nsecret_file = {folder}/jwt_secret\n"
        f"[plugin:notify]\napprise = {folder}/a.urls role=admin, {folder}/new\n"
    )

    def read(environ: dict[str, str]) -> tuple[str, str]:
        loaded = load([ini], [], environ)
        return loaded.auth.secret_file, loaded.plugin_entries["notify"][0].text

    assert read({}) == (f"{folder}/jwt_secret", f"{folder}/a.urls role=admin, {folder}/new")
    assert read({"CREDENTIALS_DIRECTORY": str(copies)}) == (
        f"{copies}/credentials_jwt_secret",
        f"{copies}/credentials_a.urls role=admin, {folder}/new",
    )


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("on", "Yes", "TRUE", "1")),
        *((text, False) for text in ("off", "no", "False", "0")),
    ],
)
def test_switches(ini: Path, text: str, expected: bool) -> None:
    ini.write_text(f"[auth]\nguests = {text}\n")
    assert load([ini], [], {}).auth.guests is expected


@pytest.mark.parametrize(
    "text", ["https://a.org, https://b.org:8443", "https://a.org,,\n https://b.org:8443,"]
)
def test_lists(ini: Path, text: str) -> None:
    ini.write_text(f"[web]\norigins = {text}\nops_networks =\n")
    web = load([ini], [], {}).web
    assert web.origins == ("https://a.org", "https://b.org:8443")
    assert web.ops_networks == ()


def test_a_percent_sign_and_a_bom_are_harmless(ini: Path) -> None:
    ini.write_text("\ufeff[auth]\nISSUER = 100%(x)s\n# comment\n; comment\n", "utf-8")
    assert load([ini], [], {}).auth.issuer == "100%(x)s"


@pytest.mark.parametrize(
    ("section", "line", "expected"),
    [
        ("server", "port = 80a", 'port: "80a" is not a whole number from 0 to 65535'),
        ("server", "port = 65536", 'port: "65536" is not a whole number from 0 to 65535'),
        ("server", "port =", 'port: "" is not a whole number from 0 to 65535'),
        ("server", "language = de", 'language: "de" is not one of zh_CN, en'),
        ("support", "capacity = 0", 'capacity: "0" is not a whole number of at least 1'),
        ("support", "auth_timeout = 0", 'auth_timeout: "0" is not a number above 0 and up to 31622400'),
        ("support", "rejoin_grace = nan", 'rejoin_grace: "nan" is not a number from 0 to 31622400'),
        ("limits", "messages_per_second = inf", 'messages_per_second: "inf" is not a number above 0'),
        ("auth", "guests = maybe", 'guests: "maybe" is not on or off'),
        ("server", "prot = 1", 'prot: this option is unknown; did you mean "port"?'),
        ("server", "capacity = 1", 'capacity: this option is unknown; did you mean "capacity" in [support]?'),
        (
            "storage",
            "qqq = 1",
            "qqq: this option is unknown; there are url, password_file, durability, patience, "
            "retention_days, keep_replaced",
        ),
    ],
)
def test_wrong_values(ini: Path, section: str, line: str, expected: str) -> None:
    assert problem(ini, f"[{section}]\n{line}\n") == f"in [{section}] {expected}"


def test_wrong_items_of_a_list(ini: Path) -> None:
    message = problem(ini, "[auth]\nalgorithms = HS265, HS256, none\n")
    assert message.startswith('in [auth] algorithms: "HS265" and "none" are not one of HS256, HS384, ')


def test_an_indented_option_is_found(ini: Path) -> None:
    message = problem(ini, "[server]\nhost = x\n  port = 9\n")
    assert message.startswith('in [server] host: the value takes one line, but "port = 9" is indented')


def test_sections(ini: Path) -> None:
    assert problems(ini, "[Sever]\nx=1\n[DEFAULT]\ny=1\n[server]\n") == [
        'in [Sever]: this section is unknown; did you mean "[server]"?',
        "in [DEFAULT]: this section is unknown; there are " + ", ".join(config.SECTIONS),
    ]
    assert "line 3 begins this section again" in problem(ini, "[server]\n[web]\n[server]\n")
    assert [
        text.split(":")[0] for text in problems(ini, "[server]\nport=1\n[web]\nx=1\n[server]\nport=x\n")
    ] == [
        "in [server]",
        "in [web] x",
        "in [server] port",
    ]
    assert problem(ini, "port = 1\n").startswith("line 1 is in no section")
    assert (
        problem(ini, "[server\nport = 1\n")
        == "line 1 begins a section, but lacks the ] after the name: [server"
    )


def test_repeated_options_and_broken_lines(ini: Path) -> None:
    text = "[server]\nport = 1\nport = 2\nhost = a\nPORT = 3\nhost = b\nwhat\n"
    assert problems(ini, text) == [
        "in [server] port: line 3 sets this option again; leave one of the two",
        "in [server] port: line 5 sets this option again; leave one of the two",
        "in [server] host: line 6 sets this option again; leave one of the two",
        "line 7 is not `option = value`",
    ]


def test_overrides(ini: Path) -> None:
    assert problems(ini, "", "blah", "server=1", "sever.port=1", "server.prot=1", "server.port=x") == [
        '--set: "blah" is not SECTION.OPTION=VALUE, as in server.port=9000',
        '--set: "server=1" is not SECTION.OPTION=VALUE, as in server.port=9000',
        '--set: in [sever]: this section is unknown; did you mean "[server]"?',
        '--set: in [server] prot: this option is unknown; did you mean "port"?',
        '--set: in [server] port: "x" is not a whole number from 0 to 65535',
    ]


def test_all_mistakes_are_reported_at_once(ini: Path) -> None:
    text = "[server]\nport = x\ntimezone = Mars\n[auth]\nalgorithms = X\nsecret_file = /nowhere\n[what]\n"
    reported = problems(ini, text, "web.origins=example.org")
    assert [line.split(":")[0] for line in reported] == [
        "in [what]",
        "in [server] port",
        "in [auth] algorithms",
        "in [server] timezone",
        "in [auth] secret_file",
        "--set",
    ]


def test_a_problem_names_its_file_section_and_option(ini: Path) -> None:
    ini.write_text("[server]\nport = 80a\n")
    with pytest.raises(ConfigError) as caught:
        load([ini], [], {})
    (found,) = caught.value.problems
    assert (found.source, found.section, found.option) == (str(ini), "server", "port")
    assert str(found) == f'{ini}: in [server] port: "80a" is not a whole number from 0 to 65535'


# Values that depend on each other or on the machine


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "server.timezone=Asia/Shanhai",
            'timezone: "Asia/Shanhai" is no time zone; did you mean "Asia/Shanghai"?',
        ),
        ("server.timezone=../etc", 'timezone: "../etc" is no time zone; a name looks like Asia/Shanghai'),
        ("server.unix_socket=/" + "x" * 107, "unix_socket: a socket's path has at most 107 bytes"),
        ("auth.algorithms=", "algorithms: is empty; use HS256"),
        ("auth.algorithms=RS256", "algorithms: RS256 needs a public key: set public_key_file or jwks_url"),
        ("auth.jwks_url=https://a.org/jwks", "jwks_url: HS256 does not use it"),
        ("auth.secret_file=/nowhere", 'secret_file: "/nowhere" cannot be read: No such file or directory'),
        ("auth.secret_file=/", 'secret_file: "/" cannot be read: Is a directory'),
        ("auth.id_claim=", "id_claim: is empty"),
        ("auth.id_claim=exp", 'id_claim: "exp" has a standard meaning'),
        ("auth.name_claim=type", 'name_claim: "type" is the role_claim already'),
        ("storage.url=mysql://u@h/n", "url: h is another machine, and messages would pass the network"),
        ("storage.url=mysql://u:p@localhost/n", "url: a password in it would be seen in logs"),
        ("storage.password_file=/x", "password_file: SQLite has no passwords"),
        ("storage.url=postgres://u:p@h/n", "url: it is no database that this version knows; it looks like"),
        (
            "storage.url=chat.db",
            'url: "chat.db" is no database that this version knows; it looks like sqlite:///',
        ),
        ("storage.url=sqlite:///", 'url: "sqlite:///" is no database'),
        ("storage.url=sqlite:///:memory:", "url: each thread would have a database of its own"),
        ("storage.url=sqlite:////", "url: / is a directory"),
        (
            "storage.url=sqlite:////mnt/x/chat.db",
            "url: the folder /mnt/x does not exist; mount its disk, or create it: install -d -m 700 /mnt/x",
        ),
        ("storage.url=sqlite:////etc/hostname/chat.db", "url: the folder /etc/hostname does not exist"),
        ("server.state_dir=/mnt/not-mounted/state", "state_dir: the folder /mnt/not-mounted does not exist"),
        ("counselling.first_number=0", "first_number: "),
        ("cluster.url=localhost", "url: it has to look like redis://host:6379/0"),
        ("cluster.url=redis://:p@h/one", 'url: "one" is no number of a database'),
        ("cluster.password_file=/x", "password_file: there is no Redis; leave it empty, or set url"),
        ("cluster.prefix=two words", 'prefix: "two words" is not made of letters'),
        ("limits.outgoing_bytes=1000", "outgoing_bytes: 1000 is less than one frame"),
        ("limits.ping_timeout=3601", "ping_timeout: a dead connection would go unnoticed"),
        ("web.origins=example.org", 'origins: "example.org" is not * or scheme://host[:port]'),
        ("web.origins=https://example.org/", 'origins: "https://example.org/" is not * or scheme://host'),
        ("web.origins=null", 'origins: "null" is not * or'),
        ("web.origins=https://a.org:443", 'origins: "https://a.org:443" never matches'),
        ("web.ops_networks=10.0.0.0/33", 'ops_networks: "10.0.0.0/33" is not a network'),
        (
            "web.ops_networks=10.1.2.3/8",
            'ops_networks: "10.1.2.3/8" is an address in a network; did you mean "10.0.0.0/8"?',
        ),
        ("server.trusted_proxies=nginx", 'trusted_proxies: "nginx" is not a network'),
    ],
)
def test_values_that_the_validation_refuses(ini: Path, override: str, expected: str) -> None:
    section = override.partition(".")[0]
    assert problem(ini, "", override).startswith(f"--set: in [{section}] {expected}")


@pytest.mark.parametrize(
    "override",
    [
        "server.timezone=Asia/Shanghai",
        "auth.id_claim=sub",
        "web.origins=*",
        "web.origins=http://localhost:5173, HTTPS://A.org, http://[::1]:8080, capacitor://localhost",
        "web.ops_networks=10.0.0.0/8, ::/0, 192.0.2.7",
    ],
)
def test_values_that_the_validation_accepts(override: str) -> None:
    load(None, [override], {"HOME": "/"})


def test_keys(ini: Path, tmp_path: Path) -> None:
    secret, pem = tmp_path / "secret", tmp_path / "key.pem"
    secret.write_text("x" * 64)
    pem.write_text("-----BEGIN PUBLIC KEY-----\n")
    both = f"[auth]\nalgorithms = RS256, HS256\npublic_key_file = {pem}\n"
    assert "HS256 beside RS256 needs a secret_file" in problem(ini, both)
    assert "is a PEM file, no shared secret" in problem(ini, f"{both}secret_file = {pem}\n")
    ini.write_text(f"{both}secret_file = {secret}\n")
    load([ini], [], {})

    only = "[auth]\nalgorithms = EdDSA\n"
    assert "EdDSA does not use it" in problem(ini, f"{only}public_key_file = {pem}\nsecret_file = {secret}\n")
    assert "is no PEM file" in problem(ini, f"{only}public_key_file = {secret}\n")
    assert "is no web address" in problem(ini, f"{only}jwks_url = ftp://a.org\n")
    assert "leave one of the two empty" in problem(
        ini, f"{only}jwks_url = https://a.org\npublic_key_file = {pem}\n"
    )


# The documentation


def test_the_sample_is_up_to_date() -> None:
    assert (ROOT / "etc" / "tornado-chat.ini").read_text() == config.sample_ini(), (
        "write config.sample_ini() to etc/tornado-chat.ini"
    )


def test_the_sample_marks_the_reloadable_options() -> None:
    blocks = config.sample_ini().split("\n\n")
    marked = {
        block.splitlines()[-1].split(" =")[0] for block in blocks if "[reload]" in block and "\n#" in block
    }
    reloadable = {
        field.name
        for section in (*config.SECTIONS.values(), config.Group)
        for field in fields(section)
        if config.is_reloadable(field)
    }
    assert {name.removeprefix("#") for name in marked if " " not in name} == reloadable


def test_the_sample_has_the_defaults(ini: Path) -> None:
    defaults = load(None, [], {"HOME": "/"})
    sample = config.sample_ini()
    ini.write_text(sample)
    assert load([ini], [], {"HOME": "/"}) == defaults

    head, title, group = re.sub(r"^#(\w+ =)", r"\1", sample, flags=re.MULTILINE).partition("#[group:NAME]")
    options = re.findall(r"^\w+ =", head, re.MULTILINE)
    assert len(options) == sum(len(fields(section)) for section in config.SECTIONS.values())
    ini.write_text(head)
    assert load([ini], [], {"HOME": "/"}) == defaults
    ini.write_text(f"{title.replace('#', '').replace('NAME', 'crisis')}{group}")
    assert load([ini], [], {"HOME": "/"}).groups == {"crisis": config.Group()}
    assert len(re.findall(r"^\w+ =", group, re.MULTILINE)) == len(fields(config.Group))


# Groups


def test_a_section_makes_a_group(ini: Path) -> None:
    ini.write_text("[group:crisis]\nroles = consultant\ntitle_zh_CN = 危机\n[group:legal]\n")
    groups = load([ini], ["group:crisis.capacity=2", "group:school.public=off"], {"HOME": "/"}).groups
    assert groups == {
        "crisis": config.Group(roles=("consultant",), title_zh_cn="危机", capacity=2),
        "legal": config.Group(),
        "school": config.Group(public=False),
    }
    assert groups["crisis"].title_in("zh_CN", "crisis") == "危机"
    assert groups["crisis"].title_in("en", "crisis") == "crisis"
    assert config.Group(title="All", text="Ask", text_en="").text_in("en") == "Ask"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[group:Crisis]\n", 'in [group:Crisis]: "Crisis" is no name of a group; use 1 to 32 of a-z, 0-9'),
        ("[group:]\n", 'in [group:]: "" is no name of a group'),
        ("[group:a]\nmember = x\n", 'in [group:a] member: this option is unknown; did you mean "members"?'),
        ("[group:a]\nroles = admin\n", 'in [group:a] roles: "admin" is not one of waiter, consultant'),
        ("[group:a]\nroles =\n", "in [group:a] roles: is empty, and there are no members: no agent could"),
        ("[group:a]\nmembers = 7\n", 'in [group:a] members: "7" is no agent; it looks like waiter:7 or'),
        ("[group:a]\nmembers = user:7\n", 'in [group:a] members: "user:7" is no agent'),
        ("[group:a]\ncapacity = -1\n", 'in [group:a] capacity: "-1" is not a whole number from 0 to 1000'),
        (
            "[group:crisis]\nfallback = defualt\n",
            'in [group:crisis] fallback: there is no group "defualt"; did you mean "default"?',
        ),
        ("[group:a]\nfallback = zzz\n", 'fallback: there is no group "zzz"; there are default, a'),
        ("[group:a]\nfallback = a\n", "fallback: the groups form a circle: a → a; leave the last one empty"),
        ("[group:a]\nconsent_required = on\n", "in [group:a] consent_required: there is no text to accept;"),
        ("[group:a]\nconsent_version = 1\n", "in [group:a] consent_version: there is no text; write it into"),
        ("[group:a]\nconsent = Hi\n", "in [group:a] consent_version: is empty; name the version of the text"),
        (
            "[group:a]\nconsent_en = Hi\nconsent_version = 1\n",
            "in [group:a] consent_zh_cn: is empty, and so is consent; write the text in this language",
        ),
        (
            f"[group:a]\nconsent = Hi\nconsent_version = {'1' * 33}\n",
            "in [group:a] consent_version: has more than 32 characters",
        ),
        (
            "[group:a]\nconsent = @text\n",
            'in [group:a] consent: "@text" is no absolute path after @; use one',
        ),
        ("[group:a]\nconsent = @/no\n", 'in [group:a] consent: "/no" cannot be read: No such file or direc'),
        (f"[group:a]\nconsent = {'a' * 16001}\n", "the text has 16001 characters; 16000 are allowed"),
    ],
)
def test_mistakes_in_groups(ini: Path, text: str, expected: str) -> None:
    assert expected in problem(ini, text)


def test_a_consent_text_in_a_file(ini: Path, tmp_path: Path) -> None:
    file = tmp_path / "consent.txt"
    file.write_text("\ufeff您好\n\n第二段\n")
    ini.write_text(f"[group:a]\nconsent = Hi\nconsent_zh_CN = @{file}\nconsent_version = 1\n")
    group = load([ini], [], {"HOME": "/"}).groups["a"]
    assert group.consent_in("en") == "Hi"
    assert group.consent_in("zh_CN") == "您好\n\n第二段"
    file.write_bytes(b"\xff")
    assert f'in [group:a] consent_zh_cn: "{file}" is not UTF-8: see byte 1' in problem(ini, ini.read_text())


def test_a_circle_of_fallback_groups(ini: Path) -> None:
    text = (
        "[group:a]\nfallback = b\n[group:b]\nfallback = c\n[group:c]\nfallback = b\n[group:d]\nfallback = a\n"
    )
    assert problems(ini, text) == [
        "in [group:b] fallback: the groups form a circle: b → c → b; leave the last one empty",
        "in [group:c] fallback: the groups form a circle: c → b → c; leave the last one empty",
    ]


def test_a_group_may_be_served_by_members_alone(ini: Path) -> None:
    ini.write_text("[group:a]\nroles =\nmembers = consultant:chen\nfallback = default\n")
    assert load([ini], [], {"HOME": "/"}).groups["a"].members == ("consultant:chen",)


# Database servers, Redis and their passwords


MYSQL = "storage.url=mysql://chat@localhost/chat"


def test_the_password_of_mysql_is_in_a_file(ini: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("it's long\n")
    assert load(None, [MYSQL, f"storage.password_file={secret}"], {"HOME": "/"}).storage.password_file
    secret.write_text("\n")
    assert "has to contain the password in a single line" in problem(
        ini, f"[storage]\npassword_file = {secret}", MYSQL
    )
    assert "cannot be read: No such file" in problem(ini, "[storage]\npassword_file = /nowhere", MYSQL)
    secret.write_text("secret")
    both = f"{MYSQL}?option-file={secret}"
    assert "remove one of the two" in problem(ini, f"[storage]\npassword_file = {secret}", both)


def test_several_processes_need_a_shared_database_and_redis(ini: Path) -> None:
    for count in ("4", "0"):
        assert problems(ini, f"[server]\nprocesses = {count}\n") == [
            f"in [server] processes: {count} needs Redis: set [cluster] url = redis://127.0.0.1:6379/0",
            f"in [server] processes: {count} needs a MySQL or MariaDB server, not SQLite: "
            "set [storage] url = mysql://user@host:3306/name",
        ]
    shared = [MYSQL, "cluster.url=redis://127.0.0.1:6379/0"]
    assert load([], ["server.processes=4", *shared], {}).server.process_count == 4
    assert load([], ["server.processes=0", *shared], {}).server.process_count == len(os.sched_getaffinity(0))


def test_the_password_of_redis_is_in_the_url_or_in_a_file(ini: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("it's long\n")
    file = f"[cluster]\npassword_file = {secret}"
    assert load(None, ["cluster.url=redis://h", f"cluster.password_file={secret}"], {"HOME": "/"})
    message = problem(ini, file, "cluster.url=redis://:hidden@h")
    assert "the url has a password too; remove one of the two" in message
    assert "hidden" not in message
    assert "cannot be read: No such file" in problem(
        ini, "[cluster]\npassword_file = /nowhere", "cluster.url=redis://h"
    )
