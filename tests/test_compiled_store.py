"""Of the compiled engines only those come back that were built here, whole and unchanged, for the same key."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from live_sr.compiled.key import Key, Label, installed, read
from live_sr.compiled.prune import DAY_S, Rules, graphs, prune
from live_sr.compiled.seal import Seal
from live_sr.compiled.store import Store, card_of, rejected
from live_sr.errors import EngineError

KEY = Key(
    engine="tensorrt",
    model="fast",
    scale=2,
    width=480,
    height=270,
    precision="fp16",
    weights="9f86d081",
    architecture="CellNet 32x3",
    gpu='A "card" of 2026\n',
    capability="8.9",
    driver="580.95.05",
    options=(("optimization_level", "3"), ("aux streams", "0")),
    versions=(("torch", "2.13.0"), ("tensorrt", "10.13.3.9")),
)
ENGINE = bytes(range(256)) * 20
OTHER = ENGINE[::-1]


class Told(list[str]):
    """What the store told, so that a test can look at it."""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def store(tmp_path: Path, told: Told) -> Store:
    return Store(tmp_path / "engines", tmp_path / "mine" / "secret", told.append)


def names(store: Store) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def path_of(store: Store, key: Key = KEY) -> Path:
    return store.folder / key.file_name


# Keys and cards


def test_the_name_of_a_file_tells_what_it_is_for() -> None:
    assert KEY.file_name.startswith("fast-x2-480x270-fp16-tensorrt-")
    assert KEY.file_name.endswith(".engine")


def test_a_name_holds_only_what_every_file_system_takes() -> None:
    name = replace(KEY, model="../\u00fcber:gro\u00df*" + "x" * 300).file_name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(name) < 120


@pytest.mark.parametrize("name", [field.name for field in fields(Key)])
def test_every_part_of_a_key_makes_another_file(name: str) -> None:
    value = getattr(KEY, name)
    other = value + 1 if isinstance(value, int) else value[1:]
    assert replace(KEY, **{name: other}).file_name != KEY.file_name


def test_pairs_may_come_in_any_order() -> None:
    assert replace(KEY, options=KEY.options[::-1], versions=KEY.versions[::-1]) == KEY


def test_a_card_reads_back_as_it_was_written() -> None:
    label = Label(KEY, 7, "ab", 34.5, "2026-01-31T20:15:00+00:00", "cd")
    assert read(label.written()) == label


def test_installed_tells_what_is_installed_and_leaves_out_the_rest() -> None:
    assert [name for name, _ in installed(("pytest", "no-such-package", "numpy"))] == ["numpy", "pytest"]


# Kept and found


def test_what_was_kept_is_found(store: Store, told: Told) -> None:
    store.keep(KEY, ENGINE, 34.5)
    assert store.find(KEY) == ENGINE
    assert told == []
    assert names(store) == {KEY.file_name, card_of(path_of(store)).name}


def test_another_process_of_the_same_user_finds_it(store: Store) -> None:
    store.keep(KEY, ENGINE, 34.5)
    assert Store(store.folder, store.folder.parent / "mine" / "secret").find(KEY) == ENGINE


def test_where_nothing_was_kept_nothing_is_found(store: Store, told: Told) -> None:
    assert store.find(KEY) is None
    store.keep(KEY, ENGINE, 1)
    assert store.find(replace(KEY, driver="581.0")) is None
    assert told == []


def edited(old: bytes, new: bytes) -> Callable[[Store], None]:
    """Changes the card of the engine."""

    def edit(store: Store) -> None:
        card = card_of(path_of(store))
        text = card.read_bytes()
        assert old in text
        card.write_bytes(text.replace(old, new))

    return edit


def copied_from_another_user(store: Store) -> None:
    other = Store(store.folder, store.folder.parent / "theirs", pytest.fail)
    other.keep(KEY, OTHER, 1)


def put_under_another_key(store: Store) -> None:
    other = replace(KEY, driver="older")
    store.keep(other, OTHER, 1)
    path_of(store, other).replace(path_of(store))
    card_of(path_of(store, other)).replace(card_of(path_of(store)))


def renamed_with_its_key(store: Store) -> None:
    """Another engine of this user's, whose card was made to fit: only the stamp tells."""
    put_under_another_key(store)
    edited(b"older", KEY.driver.encode())(store)


DISTRUSTED: list[tuple[str, Callable[[Store], None]]] = [
    ("it has 100 bytes, not 5120", lambda store: os.truncate(path_of(store), 100)),
    ("it has 0 bytes, not 5120", lambda store: path_of(store).write_bytes(b"") and None),
    ("changed or damaged", lambda store: path_of(store).write_bytes(OTHER) and None),
    ("you did not build it here", copied_from_another_user),
    ("its card is of another engine", put_under_another_key),
    ("you did not build it here", renamed_with_its_key),
    ("its card is damaged", lambda store: card_of(path_of(store)).write_bytes(b"\xff\x00") and None),
    ("its card is damaged", lambda store: card_of(path_of(store)).write_bytes(b"") and None),
    ("its card is damaged", edited(b"bytes = 5120", b'bytes = "5120"')),
    ("its card is damaged", edited(b"[versions]", b"[conversions]")),
    ("it has 5120 bytes, not 5121", edited(b"bytes = 5120", b"bytes = 5121")),
    ("changed or damaged", edited(b'sha256 = "', b'sha256 = "0')),
    ("you did not build it here", edited(b'stamp = "', b'stamp = "0')),
    ("its card is of another engine", edited(b"width = 480", b"width = 960")),
]


@pytest.mark.parametrize(("why", "harm"), DISTRUSTED)
def test_what_was_not_put_here_as_it_is_is_set_aside_and_told(
    why: str, harm: Callable[[Store], None], store: Store, told: Told
) -> None:
    store.keep(KEY, ENGINE, 1)
    harm(store)
    assert store.find(KEY) is None
    assert len(told) == 1
    assert why in told[0]
    assert KEY.file_name in told[0]
    assert names(store) == {rejected(path_of(store)).name}
    assert store.find(KEY) is None  # told once
    assert len(told) == 1
    store.keep(KEY, ENGINE, 1)
    assert store.find(KEY) == ENGINE


def test_the_history_in_a_card_is_not_worth_a_rebuild(store: Store) -> None:
    store.keep(KEY, ENGINE, 1.0)
    edited(b"seconds = 1.0", b"seconds = 2.0")(store)
    assert store.find(KEY) == ENGINE


def test_an_engine_without_a_card_is_none_and_left_alone(store: Store, told: Told) -> None:
    store.keep(KEY, ENGINE, 1)
    card_of(path_of(store)).unlink()  # as in the moment in which another process puts it there
    assert store.find(KEY) is None
    assert told == []
    assert path_of(store).is_file()


def test_use_is_remembered(store: Store) -> None:
    store.keep(KEY, ENGINE, 1)
    os.utime(card_of(path_of(store)), (0, 0))
    assert [entry.used for entry in store.entries()] == [0]
    store.find(KEY)
    assert [entry.used > 0 for entry in store.entries()] == [True]


def test_an_engine_of_the_same_key_takes_the_place_of_the_old_one(store: Store) -> None:
    store.keep(KEY, ENGINE, 1)
    store.keep(KEY, OTHER, 1)
    assert store.find(KEY) == OTHER


# Cut off


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_is_told_with_a_remedy_and_leaves_nothing(
    before: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        store.keep(KEY, OTHER, 1)
    for good in (0, 1):  # the engine does not fit, or only its card does not
        left = iter([True] * good)
        there = names(store) if before else set()

        def fsync(_: int, left: object = left) -> None:
            if not next(left, False):  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            store._seal.stamp(KEY, b"")  # the secret is elsewhere
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(EngineError, match="no room") as error:
                store.keep(KEY, ENGINE, 1)
        assert "engines prune" in error.value.remedy
        assert names(store) == there
        assert store.find(KEY) == (OTHER if before else None)


def test_a_folder_that_cannot_be_is_told(store: Store) -> None:
    store.folder.write_text("a file")
    with pytest.raises(EngineError, match="cannot be written"):
        store.keep(KEY, ENGINE, 1)
    with pytest.raises(EngineError, match="cannot be written"), store.locked(KEY):
        pass


KILLED_AT = """
import os, sys
from pathlib import Path
from live_sr.compiled.store import Store
from test_compiled_store import KEY, OTHER

folder, secret, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
store = Store(folder, secret)
left = step

def count(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
        left -= 1
        if left == 0:
            os._exit(9)

sys.addaudithook(count)
store.keep(KEY, OTHER, 1)
"""


def test_a_builder_killed_before_any_step_of_keeping_leaves_nothing_half_valid(store: Store, told: Told) -> None:
    secret = store.folder.parent / "mine" / "secret"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent.parent), str(Path(__file__).parent))),
    }
    found = []
    for step in range(1, 30):
        store.keep(KEY, ENGINE, 1)
        arguments = [str(store.folder), str(secret), str(step)]
        done = subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], env=environment, check=False)
        assert done.returncode in (0, 9)
        found.append(store.find(KEY))
        prune(store, Rules())
        assert names(store) <= {KEY.file_name, card_of(path_of(store)).name}
        if done.returncode == 0:
            break
    assert found[0] == ENGINE
    assert None in found
    assert found[-1] == OTHER
    assert set(found) == {ENGINE, None, OTHER}
    assert told == []


def test_a_lock_shuts_out_others_and_clears_what_a_dead_builder_left(store: Store) -> None:
    store.folder.mkdir()
    left = store.folder / f"{KEY.file_name}.1a2b.part"
    left.write_bytes(b"half")
    with store.locked(KEY) as first, store.locked(KEY) as second, store.locked(replace(KEY, scale=4)) as other:
        assert (first, second, other) == (True, False, True)
        assert not left.exists()
    with store.locked(KEY) as again:
        assert again


# The secret


def test_the_secret_is_this_users_alone(store: Store) -> None:
    store.keep(KEY, ENGINE, 1)
    secret = store.folder.parent / "mine" / "secret"
    assert len(secret.read_bytes()) == 32
    if hasattr(os, "getuid"):
        assert secret.stat().st_mode & 0o777 == 0o600
        assert secret.parent.stat().st_mode & 0o777 == 0o700
    assert not [path for path in secret.parent.iterdir() if path.suffix == ".part"]


def test_the_secret_stays_and_differs_between_users(tmp_path: Path) -> None:
    stamps = {Seal(tmp_path / name).stamp(KEY, b"digest") for name in ("mine", "mine", "theirs")}
    assert len(stamps) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows guards the user's folder by itself")
def test_a_secret_that_others_could_read_is_made_anew(tmp_path: Path) -> None:
    before = Seal(tmp_path / "secret").stamp(KEY, b"digest")
    (tmp_path / "secret").chmod(0o644)
    after = Seal(tmp_path / "secret").stamp(KEY, b"digest")
    assert after != before
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "secret").chmod(0o600)
    Seal(tmp_path / "secret").stamp(KEY, b"digest")
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_secret_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be used"):
        Seal(tmp_path / "file" / "secret").stamp(KEY, b"digest")


# Pruning

NOW = 1_800_000_000.0


def fill(store: Store) -> dict[str, Key]:
    """Engines of 5120 bytes, last used 0, 10 and 40 days ago; the last is for another card. A graph of OpenVINO's."""
    keys = {"new": KEY, "old": replace(KEY, width=640), "ancient": replace(KEY, gpu="another")}
    for key, days in zip(keys.values(), (0, 10, 40), strict=True):
        store.keep(key, ENGINE, 30.0)
        moment = NOW - days * DAY_S
        os.utime(card_of(path_of(store, key)), (moment, moment))
    graph = store.folder / "123.blob"
    graph.write_bytes(b"x" * 3000)
    os.utime(graph, (NOW - 20 * DAY_S, NOW - 20 * DAY_S))
    (store.folder / "README.md").write_text("not ours")
    return keys


def elsewhere(key: Key) -> str:
    return "for another card" if key.gpu == "another" else ""


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (Rules(), {"new", "old", "ancient", "graph"}),
        (Rules(days=30), {"new", "old", "graph"}),
        (Rules(days=15), {"new", "old"}),
        (Rules(megabytes=0.0140), {"new", "old", "graph"}),
        (Rules(megabytes=0.0110), {"new", "old"}),
        (Rules(megabytes=0.0), set()),
        (Rules(unusable=elsewhere), {"new", "old", "graph"}),
        (Rules(days=5, unusable=elsewhere), {"new"}),
        (Rules(everything=True), set()),
    ],
)
def test_prune_removes_what_the_rules_say(rules: Rules, stay: set[str], store: Store) -> None:
    keys = fill(store)
    gone = prune(store, rules, NOW)
    assert {name for name, key in keys.items() if store.find(key)} == stay - {"graph"}
    assert bool(graphs(store.folder)) == ("graph" in stay)
    assert len(gone) == 4 - len(stay)
    assert all(removed.why and removed.bytes in (5120, 3000) for removed in gone)
    assert (store.folder / "README.md").is_file()
    assert len(names(store)) == 1 + sum(1 if name == "graph" else 2 for name in stay)


def test_prune_removes_what_was_cut_off_and_nothing_that_somebody_builds(store: Store) -> None:
    store.keep(KEY, ENGINE, 1)
    dead, busy = replace(KEY, width=1), replace(KEY, width=2)
    for key in (dead, busy):
        for suffix in ("", ".1a2b.part", ".1a2b.card.part", ".rejected", ".lock"):
            (store.folder / f"{key.file_name}{suffix}").write_bytes(b"half")
    card_of(path_of(store, replace(KEY, width=3))).write_text("orphan")
    with store.holding(path_of(store, busy)) as ours:
        assert ours
        gone = prune(store, Rules())
    assert {removed.why for removed in gone} == {"left over"}
    assert store.find(KEY) == ENGINE
    assert {name for name in names(store) if not name.startswith("fast-x2-2x270")} == {
        KEY.file_name,
        card_of(path_of(store)).name,
    }
    assert len(names(store)) == 2 + 5


def test_a_folder_that_is_not_there_has_nothing_to_prune(store: Store) -> None:
    assert prune(store, Rules(everything=True)) == []
    assert store.entries() == []


def test_the_time_of_the_last_build_is_that_of_the_nearest_size_on_the_same_card(store: Store) -> None:
    for width, gpu, seconds in ((480, "A", 10.0), (1280, "A", 60.0), (700, "B", 99.0)):
        store.keep(replace(KEY, width=width, gpu=gpu), ENGINE, seconds)
    assert store.seconds(replace(KEY, width=640, gpu="A", driver="new")) == 10.0
    assert store.seconds(replace(KEY, width=960, gpu="A")) == 60.0
    assert store.seconds(replace(KEY, gpu="C")) == 0.0
