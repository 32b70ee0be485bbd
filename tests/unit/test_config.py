"""config.toml: what a player may write, and what they are told when it is wrong."""

import math
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from live_sr import config
from live_sr.config import EngineSettings, Settings
from live_sr.config_mistakes import find_mistakes
from live_sr.engines.filters import engine as filters
from live_sr.errors import UsageError
from live_sr.models.resolve import FILTERS

FIVE_MISTAKES = """
[model]
nam = "fast"
scale = 5
[hud]
level = "lines"
[hotkeys]
quit = "ctl+q"
[[profile]]
match = "("
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_five_mistakes_are_told_at_once_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config.load(written(tmp_path, FIVE_MISTAKES))
    told = caught.value.message
    for words in ('model.nam is not a setting. Did you mean "name"?', "model.scale = 5: must be one of 2, 3, 4, fit",
                  'hud.level = \'lines\': must be one of off, line, detail. Did you mean "line"?',
                  '"ctl" is not a modifier', 'profile 1.match: "(" is not a regular expression'):  # fmt: skip
        assert words in told
    assert caught.value.exit_code == 2


WRONG: tuple[object, ...] = (
    *("", "zz", -1, 7, 1e9, 3.5, True, [], ["a"], [1], {"a": 1}, date(1979, 5, 27), math.nan, math.inf),
)


@pytest.mark.parametrize("section", Settings.model_fields)
def test_every_wrong_value_is_told_once_in_our_words_with_what_is_allowed(section: str) -> None:
    kind = Settings.model_fields[section].annotation
    assert kind is not None
    for name in kind.model_fields:
        told = 0
        for value in WRONG:
            mistakes = find_mistakes(Settings, {section: {name: value}})
            assert len(mistakes) <= 1, mistakes
            for mistake in mistakes:
                told += 1
                assert mistake.startswith(f"{section}.{name} = ")
                assert "must be " in mistake or "use one character" in mistake, mistake
                assert "Input" not in mistake
        assert told >= 9, f"{name} takes nearly everything"
    for value in WRONG:
        mistakes = find_mistakes(Settings, {section: value})
        assert isinstance(value, dict) or "must be a table, below a line with its name in [brackets]" in mistakes[0]


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("engine", {"budget_ms": "often"}, "engine.budget_ms = 'often': must be auto or a number from 0 to 1000"),
        ("engine", {"threads": 2.5}, "engine.threads = 2.5: must be a whole number from 0 to 256"),
        ("overlay", {"monitor": 0}, "overlay.monitor = 0: must be text in quotes or a whole number from 1"),
        ("overlay", {"hide_from_recorders": 1}, "overlay.hide_from_recorders = 1: must be true or false"),
        ("model", {"chain": ["fast", 2]}, 'model.chain = [\'fast\', 2]: must be a list such as ["one", "two"]'),
        ("overlay", {"aspect": "wide"}, "overlay.aspect = 'wide': must be \"source\" or width:height, such as"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(section: str, values: dict[str, object], sentence: str) -> None:
    (mistake,) = find_mistakes(Settings, {section: values})
    assert mistake.startswith(sentence)


def test_a_long_wrong_value_is_cut() -> None:
    assert len(find_mistakes(Settings, {"hud": {"level": "x" * 5000}})[0]) < 200


@pytest.mark.parametrize("aspect", ["source", "4:3", "16:9", "1:1", "2.39:1", "1:4"])
def test_an_aspect_is_a_ratio(aspect: str, tmp_path: Path) -> None:
    settings = config.load(written(tmp_path, f'overlay.aspect = "{aspect}"'))
    width, _, height = aspect.partition(":")
    assert settings.overlay.aspect_ratio == (None if aspect == "source" else float(width) / float(height))


@pytest.mark.parametrize("aspect", ["", "4", "4:", ":3", "4:0", "0:3", "-4:3", "5:1", "1:5", "nan:1", "inf:1", "4x3"])
def test_what_is_no_aspect_is_refused(aspect: str) -> None:
    (mistake,) = find_mistakes(Settings, {"overlay": {"aspect": aspect}})
    assert "width:height" in mistake


def test_two_actions_with_the_same_keys_are_told_before_anything_starts(tmp_path: Path) -> None:
    path = written(tmp_path, 'hotkeys.hud = "super+F9"\nhotkeys.overlay = "SUPER+f9"\nhotkeys.quit = ""\n')
    with pytest.raises(UsageError) as caught:
        config.load(path)
    assert "hotkeys.overlay = 'super+f9': hud has these keys already" in caught.value.message
    assert str(path) in caught.value.message


def test_a_profile_may_take_the_keys_that_the_sections_above_it_have_freed(tmp_path: Path) -> None:
    free = f'hotkeys.hud = ""\n[[profile]]\nmatch = "doom"\nhotkeys.quit = "{config.HOTKEY_MODIFIERS}+h"\n'
    assert config.load(written(tmp_path, free), ("doom",)).hotkeys.hud == ""


def test_the_settings_file_of_the_project_lists_every_setting_with_its_default() -> None:
    path = Path(__file__).parents[2] / "config.toml"
    text = path.read_text(encoding="utf-8")
    hotkeys = text[text.index("[hotkeys]") :].replace("ctrl+alt", config.HOTKEY_MODIFIERS)
    shown = re.sub(r'^# (\w+ = ".*\+)', r"\1", hotkeys, flags=re.MULTILINE)  # not set, as they differ on Windows
    raw = tomllib.loads(text[: text.index("[hotkeys]")] + shown)
    assert raw == Settings().model_dump()
    assert tomllib.loads(text)["hotkeys"] == {}


@pytest.mark.parametrize(
    ("game", "scale", "hud"),
    [(("Freedoom: Phase 1", "chocolate-doom"), 4, "off"), (("OpenTTD", "openttd"), 2, "detail"), ((), 2, "detail")],
)
def test_a_profile_applies_to_the_games_it_matches(tmp_path: Path, game: tuple[str, ...], scale: int, hud: str) -> None:
    text = '[hud]\nlevel = "detail"\n[[profile]]\nmatch = "doom"\nmodel.scale = 4\nhud.level = "off"\n'
    settings = config.load(written(tmp_path, text), game)
    assert (settings.model.scale, settings.hud.level) == (scale, hud)


def test_flags_win_over_the_profile_and_the_profile_over_the_file(tmp_path: Path) -> None:
    text = 'model.name = "a"\nengine.threads = 1\n[[profile]]\nmatch = "doom"\nmodel.name = "b"\nmodel.scale = 4\n'
    settings = config.load(written(tmp_path, text), ("doom",), {"model": {"name": "c"}})
    assert (settings.model.name, settings.model.scale, settings.engine.threads) == ("c", 4, 1)


def test_a_wrong_flag_is_blamed_on_the_command_line_not_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config.load(written(tmp_path, ""), (), {"engine": {"backend": "openvin"}})
    assert caught.value.message.startswith("--engine 'openvin': must be one of auto, tensorrt")
    assert caught.value.message.endswith('Did you mean "openvino"?')
    assert "the command line" in caught.value.remedy


TEXT = '# mine\r\n[model]\r\nname = "bicubic"\r\n'


@pytest.mark.parametrize(
    ("data", "sentence", "remedy"),
    [
        (b"[model", "is not valid TOML", "correct that line"),
        (TEXT.encode("utf-16"), "its encoding is UTF-16", "save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "its encoding is UTF-16", "save it as UTF-8"),
        (TEXT.encode("utf-16-be"), "its encoding is UTF-16", "save it as UTF-8"),
        (b"\xff\xfe", "its encoding is UTF-16", "save it as UTF-8"),
        ('[model]\nname = "caf\xe9"\n'.encode("latin-1"), "its encoding is not UTF-8 (line 2)", "save it as UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_one_sentence(tmp_path: Path, data: bytes, sentence: str, remedy: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        config.load(path)
    assert sentence in caught.value.message and "config.toml" in caught.value.message
    assert remedy in caught.value.remedy and "\n" not in caught.value.message


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    """Notepad and PowerShell write one."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert config.load(path).model.name == "bicubic"
    assert [one.model.name for one in config.load_all(path)] == ["bicubic"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("GAMES", str(tmp_path / "games"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("setting", "section", "field", "expected"),
    [
        ('engine.cache = "~/x"', "engine", "cache", "{home}/x"),
        ('engine.cache = "$GAMES/x"', "engine", "cache", "{games}/x"),
        ('engine.cache = "${GAMES}/x"', "engine", "cache", "{games}/x"),
        ('engine.cache = "$NOT_SET_HERE/x"', "engine", "cache", "$NOT_SET_HERE/x"),
        ('engine.cache = ""', "engine", "cache", ""),
        ('overlay.screenshots = "~/Pictures"', "overlay", "screenshots", "{home}/Pictures"),
        ('model.name = "~/net.onnx"', "model", "name", "{home}/net.onnx"),
        ('model.name = "fast"', "model", "name", "fast"),
        ('model.name = "~/a.onnx+fast+$GAMES/b.pth"', "model", "name", "{home}/a.onnx+fast+{games}/b.pth"),
        ('model.chain = ["~/a.onnx", "resize:0.5", "fast"]', "model", "name", "{home}/a.onnx+resize:0.5+fast"),
        ('profile = [{match = "doom", engine.cache = "~/y"}]', "engine", "cache", "{home}/y"),
    ],
)
def test_the_home_folder_and_variables_are_replaced_in_paths(
    tmp_path: Path, home: Path, setting: str, section: str, field: str, expected: str
) -> None:
    settings = config.load(written(tmp_path, setting + "\n"), ("doom",))
    assert getattr(getattr(settings, section), field) == expected.format(home=home, games=tmp_path / "games")


def test_a_profiles_model_also_replaces_a_chain(tmp_path: Path) -> None:
    text = '[model]\nchain = ["restore", "fast"]\n[[profile]]\nmatch = "doom"\nmodel.name = "turbo"\n'
    assert config.load(written(tmp_path, text)).model.name == "restore+fast"
    assert config.load(written(tmp_path, text), ("doom",)).model.name == "turbo"


def test_the_working_folder_is_looked_at_before_the_users_folder(tmp_path: Path) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home):
        folder.mkdir()
    assert config.find((here, home)) is None
    (home / "config.toml").touch()
    assert config.find((here, home)) == home / "config.toml"
    (here / "config.toml").touch()
    assert config.find((here, home)) == here / "config.toml"


@pytest.mark.parametrize(
    ("key", "parts"),
    [("ctrl+alt+m", ({"ctrl", "alt"}, "m")), ("F8", (set(), "f8")), ("Shift+Page_Up", ({"shift"}, "page_up"))],
)
def test_keys_are_spelled_with_plus_signs(key: str, parts: tuple[set[str], str]) -> None:
    assert config.parse_key(key) == parts


@pytest.mark.parametrize("key", ["ctrl+", "hyper+m", "ctrl+alt+mm", "+"])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        config.parse_key(key)


def test_the_filters_are_named_alike_wherever_they_are_named() -> None:
    """Settings and choosing know them by name only, so that neither brings OpenCV."""
    assert FILTERS == filters.FILTERS
    assert get_args(EngineSettings.model_fields["plain"].annotation) == filters.FILTERS


def test_a_chain_is_the_model_unless_the_command_line_names_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[model]\nchain = ["restore", "resize:0.5", "fast"]\n')
    assert config.load(path).model.name == "restore+resize:0.5+fast"
    assert config.load(path, flags={"model": {"name": "quality", "chain": []}}).model.name == "quality"
    path.write_text("[model]\nchain = [1]\n")
    with pytest.raises(UsageError, match=r"model\.chain"):
        config.load(path)
