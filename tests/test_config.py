"""config.toml: what a player may write, and what they are told when it is wrong."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest

from live_sr import assembly, config
from live_sr.config import Config, EngineChoice
from live_sr.engine import filters
from live_sr.errors import UsageError

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


def test_the_settings_file_of_the_project_lists_every_setting_with_its_default() -> None:
    path = Path(__file__).parent.parent / "config.toml"
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    assert raw == Config().model_dump()


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
    with pytest.raises(UsageError, match="the command line"):
        config.load(written(tmp_path, ""), (), {"engine": {"backend": "openvin"}})


@pytest.mark.parametrize("text", ["[model", "\xff\xfe"])
def test_a_file_that_is_not_toml_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="not valid TOML"):
        config.load(path)


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
    assert config.key_parts(key) == parts


@pytest.mark.parametrize("key", ["ctrl+", "hyper+m", "ctrl+alt+mm", "+"])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        config.key_parts(key)


def test_the_filters_are_named_alike_wherever_they_are_named() -> None:
    """Settings and choosing know them by name only, so that neither brings OpenCV."""
    assert assembly.FILTERS == filters.FILTERS
    assert get_args(EngineChoice.model_fields["plain"].annotation) == filters.FILTERS


def test_a_chain_is_the_model_unless_the_command_line_names_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[model]\nchain = ["restore", "resize:0.5", "fast"]\n')
    assert config.load(path).model.name == "restore+resize:0.5+fast"
    assert config.load(path, flags={"model": {"name": "quality", "chain": []}}).model.name == "quality"
    path.write_text("[model]\nchain = [1]\n")
    with pytest.raises(UsageError, match=r"model\.chain"):
        config.load(path)
