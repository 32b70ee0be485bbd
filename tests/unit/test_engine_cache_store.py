"""The engine cache returns only engines that this user built here for the same key, complete and unchanged."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from cache_harness import ENGINE, KEY, OTHER

from live_sr.engines.cache.key import EngineKey, EngineManifest, find_installed, parse_manifest
from live_sr.engines.cache.prune import DAY_S, PruneRules, list_blobs, prune
from live_sr.engines.cache.signature import EngineSigner
from live_sr.engines.cache.store import EngineCache, get_manifest_path, get_rejected_path
from live_sr.errors import EngineError

TESTS = Path(__file__).parents[1]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> EngineCache:
    return EngineCache(tmp_path / "engines", tmp_path / "mine" / "secret", notes.append)


def names(store: EngineCache) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def secret_path(store: EngineCache) -> Path:
    return store.folder.parent / "mine" / "secret"


def path_of(store: EngineCache, key: EngineKey = KEY) -> Path:
    return store.folder / key.file_name


# Keys and manifests


def test_a_file_name_shows_what_the_engine_is_for() -> None:
    assert KEY.file_name.startswith("fast-x2-480x270-fp16-tensorrt-")
    assert KEY.file_name.endswith(".engine")


def test_a_file_name_has_only_characters_that_every_file_system_allows() -> None:
    name = replace(KEY, model="../\u00fcber:gro\u00df*" + "x" * 300).file_name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(name) < 120


@pytest.mark.parametrize("name", [field.name for field in fields(EngineKey)])
def test_every_field_of_a_key_changes_the_file_name(name: str) -> None:
    value = getattr(KEY, name)
    other = value + 1 if isinstance(value, int) else value[1:]
    assert replace(KEY, **{name: other}).file_name != KEY.file_name


def test_pairs_may_come_in_any_order() -> None:
    assert replace(KEY, options=KEY.options[::-1], versions=KEY.versions[::-1]) == KEY


def test_a_manifest_reads_back_as_it_was_written() -> None:
    manifest = EngineManifest(KEY, 7, "ab", 34.5, "2026-01-31T20:15:00+00:00", "cd")
    assert parse_manifest(manifest.to_toml()) == manifest


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert [name for name, _ in find_installed(("pytest", "no-such-package", "numpy"))] == ["numpy", "pytest"]


# Kept and found


def test_what_was_kept_is_found(store: EngineCache, notes: list[str]) -> None:
    store.keep(KEY, ENGINE, 34.5)
    assert store.find(KEY) == ENGINE
    assert notes == []
    assert names(store) == {KEY.file_name, get_manifest_path(path_of(store)).name}


def test_another_process_of_the_same_user_finds_it(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 34.5)
    assert EngineCache(store.folder, secret_path(store)).find(KEY) == ENGINE


def test_an_engine_that_was_not_kept_is_not_found(store: EngineCache, notes: list[str]) -> None:
    assert store.find(KEY) is None
    store.keep(KEY, ENGINE, 1)
    assert store.find(replace(KEY, driver="581.0")) is None
    assert notes == []


def edited(old: bytes, new: bytes) -> Callable[[EngineCache], None]:
    """Changes the manifest of the engine."""

    def edit(store: EngineCache) -> None:
        card = get_manifest_path(path_of(store))
        text = card.read_bytes()
        assert old in text
        card.write_bytes(text.replace(old, new))

    return edit


def copied_from_another_user(store: EngineCache) -> None:
    other = EngineCache(store.folder, store.folder.parent / "theirs", pytest.fail)
    other.keep(KEY, OTHER, 1)


def put_under_another_key(store: EngineCache) -> None:
    other = replace(KEY, driver="older")
    store.keep(other, OTHER, 1)
    path_of(store, other).replace(path_of(store))
    get_manifest_path(path_of(store, other)).replace(get_manifest_path(path_of(store)))


def renamed_with_its_key(store: EngineCache) -> None:
    """Another engine of this user with an edited manifest: only the signature reveals it."""
    put_under_another_key(store)
    edited(b"older", KEY.driver.encode())(store)


DISTRUSTED: list[tuple[str, Callable[[EngineCache], None]]] = [
    ("it has 100 bytes, not 5120", lambda store: os.truncate(path_of(store), 100)),
    ("it has 0 bytes, not 5120", lambda store: path_of(store).write_bytes(b"") and None),
    ("changed or damaged", lambda store: path_of(store).write_bytes(OTHER) and None),
    ("you did not build it here", copied_from_another_user),
    ("its manifest is of another engine", put_under_another_key),
    ("you did not build it here", renamed_with_its_key),
    ("its manifest is damaged", lambda store: get_manifest_path(path_of(store)).write_bytes(b"\xff\x00") and None),
    ("its manifest is damaged", lambda store: get_manifest_path(path_of(store)).write_bytes(b"") and None),
    ("its manifest is damaged", edited(b"bytes = 5120", b'bytes = "5120"')),
    ("its manifest is damaged", edited(b"[versions]", b"[conversions]")),
    ("it has 5120 bytes, not 5121", edited(b"bytes = 5120", b"bytes = 5121")),
    ("changed or damaged", edited(b'sha256 = "', b'sha256 = "0')),
    ("you did not build it here", edited(b'stamp = "', b'stamp = "0')),
    ("its manifest is of another engine", edited(b"width = 480", b"width = 960")),
]


@pytest.mark.parametrize(("why", "harm"), DISTRUSTED)
def test_a_file_that_is_not_what_was_stored_is_set_aside_and_reported(
    why: str, harm: Callable[[EngineCache], None], store: EngineCache, notes: list[str]
) -> None:
    store.keep(KEY, ENGINE, 1)
    harm(store)
    assert store.find(KEY) is None
    assert len(notes) == 1
    assert why in notes[0]
    assert KEY.file_name in notes[0]
    assert names(store) == {get_rejected_path(path_of(store)).name}
    assert store.find(KEY) is None  # it is reported once
    assert len(notes) == 1
    store.keep(KEY, ENGINE, 1)
    assert store.find(KEY) == ENGINE


def test_a_changed_build_time_in_the_manifest_causes_no_rebuild(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 1.0)
    edited(b"seconds = 1.0", b"seconds = 2.0")(store)
    assert store.find(KEY) == ENGINE


def test_an_engine_without_a_manifest_is_not_used_and_left_alone(store: EngineCache, notes: list[str]) -> None:
    store.keep(KEY, ENGINE, 1)
    get_manifest_path(path_of(store)).unlink()  # as while another process stores it
    assert store.find(KEY) is None
    assert notes == []
    assert path_of(store).is_file()


def test_use_is_remembered(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 1)
    os.utime(get_manifest_path(path_of(store)), (0, 0))
    assert [entry.used for entry in store.list_engines()] == [0]
    store.find(KEY)
    assert [entry.used > 0 for entry in store.list_engines()] == [True]


def test_an_engine_of_the_same_key_takes_the_place_of_the_old_one(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 1)
    store.keep(KEY, OTHER, 1)
    assert store.find(KEY) == OTHER


# Interrupted


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_is_reported_with_a_remedy_and_leaves_nothing(
    before: bool, store: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        store.keep(KEY, OTHER, 1)
    for good in (0, 1):  # the engine does not fit, or only its manifest does not
        left = iter([True] * good)
        there = names(store) if before else set()

        def fsync(_: int, left: object = left) -> None:
            if not next(left, False):  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            EngineSigner(secret_path(store)).sign(KEY, b"")  # creates the secret, before the disk is full
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(EngineError, match="no room") as error:
                store.keep(KEY, ENGINE, 1)
        assert "engines prune" in error.value.remedy
        assert names(store) == there
        assert store.find(KEY) == (OTHER if before else None)


def test_a_folder_that_cannot_be_created_is_reported(store: EngineCache) -> None:
    store.folder.write_text("a file")
    with pytest.raises(EngineError, match="cannot be written"):
        store.keep(KEY, ENGINE, 1)
    with pytest.raises(EngineError, match="cannot be written"), store.lock(KEY):
        pass


KILLED_AT = """
import os, sys
from pathlib import Path
from live_sr.engines.cache.store import EngineCache
from cache_harness import KEY, OTHER

folder, secret, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
store = EngineCache(folder, secret)
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


def test_a_builder_that_is_killed_while_it_stores_an_engine_leaves_no_half_valid_one(
    store: EngineCache, notes: list[str]
) -> None:
    secret = secret_path(store)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS))),
    }
    found = []
    for step in range(1, 30):
        store.keep(KEY, ENGINE, 1)
        arguments = [str(store.folder), str(secret), str(step)]
        done = subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], env=environment, check=False)
        assert done.returncode in (0, 9)
        found.append(store.find(KEY))
        prune(store, PruneRules())
        assert names(store) <= {KEY.file_name, get_manifest_path(path_of(store)).name}
        if done.returncode == 0:
            break
    assert found[0] == ENGINE
    assert None in found
    assert found[-1] == OTHER
    assert set(found) == {ENGINE, None, OTHER}
    assert notes == []


def test_a_lock_excludes_others_and_deletes_what_a_dead_builder_left(store: EngineCache) -> None:
    store.folder.mkdir()
    left = store.folder / f"{KEY.file_name}.1a2b.part"
    left.write_bytes(b"half")
    with store.lock(KEY) as first, store.lock(KEY) as second, store.lock(replace(KEY, scale=4)) as other:
        assert (first, second, other) == (True, False, True)
        assert not left.exists()
    with store.lock(KEY) as again:
        assert again


# The secret


def test_only_this_user_can_read_the_secret(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 1)
    secret = secret_path(store)
    assert len(secret.read_bytes()) == 32
    if hasattr(os, "getuid"):
        assert secret.stat().st_mode & 0o777 == 0o600
        assert secret.parent.stat().st_mode & 0o777 == 0o700
    assert not [path for path in secret.parent.iterdir() if path.suffix == ".part"]


def test_the_secret_stays_and_differs_between_users(tmp_path: Path) -> None:
    stamps = {EngineSigner(tmp_path / name).sign(KEY, b"digest") for name in ("mine", "mine", "theirs")}
    assert len(stamps) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows protects the user's folder")
def test_a_secret_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    before = EngineSigner(tmp_path / "secret").sign(KEY, b"digest")
    (tmp_path / "secret").chmod(0o644)
    after = EngineSigner(tmp_path / "secret").sign(KEY, b"digest")
    assert after != before
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_truncated_secret_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "secret").chmod(0o600)
    EngineSigner(tmp_path / "secret").sign(KEY, b"digest")
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_secret_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be used"):
        EngineSigner(tmp_path / "file" / "secret").sign(KEY, b"digest")


# Pruning

NOW = 1_800_000_000.0


def fill(store: EngineCache) -> dict[str, EngineKey]:
    """Engines of 5120 bytes, last used 0, 10 and 40 days ago, the last for another GPU, and a blob of OpenVINO."""
    keys = {"new": KEY, "old": replace(KEY, width=640), "ancient": replace(KEY, gpu="another")}
    for key, days in zip(keys.values(), (0, 10, 40), strict=True):
        store.keep(key, ENGINE, 30.0)
        moment = NOW - days * DAY_S
        os.utime(get_manifest_path(path_of(store, key)), (moment, moment))
    graph = store.folder / "123.blob"
    graph.write_bytes(b"x" * 3000)
    os.utime(graph, (NOW - 20 * DAY_S, NOW - 20 * DAY_S))
    (store.folder / "README.md").write_text("not ours")
    return keys


def for_another_gpu(key: EngineKey) -> str:
    return "for another GPU" if key.gpu == "another" else ""


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (PruneRules(), {"new", "old", "ancient", "graph"}),
        (PruneRules(days=30), {"new", "old", "graph"}),
        (PruneRules(days=15), {"new", "old"}),
        (PruneRules(megabytes=0.0140), {"new", "old", "graph"}),
        (PruneRules(megabytes=0.0110), {"new", "old"}),
        (PruneRules(megabytes=0.0), set()),
        (PruneRules(unusable=for_another_gpu), {"new", "old", "graph"}),
        (PruneRules(days=5, unusable=for_another_gpu), {"new"}),
        (PruneRules(everything=True), set()),
    ],
)
def test_prune_removes_what_the_rules_say(rules: PruneRules, stay: set[str], store: EngineCache) -> None:
    keys = fill(store)
    gone = prune(store, rules, NOW)
    assert {name for name, key in keys.items() if store.find(key)} == stay - {"graph"}
    assert bool(list_blobs(store.folder)) == ("graph" in stay)
    assert len(gone) == 4 - len(stay)
    assert all(removed.why and removed.bytes in (5120, 3000) for removed in gone)
    assert (store.folder / "README.md").is_file()
    assert len(names(store)) == 1 + sum(1 if name == "graph" else 2 for name in stay)


def test_prune_removes_interrupted_builds_but_none_that_is_in_progress(store: EngineCache) -> None:
    store.keep(KEY, ENGINE, 1)
    dead, busy = replace(KEY, width=1), replace(KEY, width=2)
    for key in (dead, busy):
        for suffix in ("", ".1a2b.part", ".1a2b.card.part", ".rejected", ".lock"):
            (store.folder / f"{key.file_name}{suffix}").write_bytes(b"half")
    get_manifest_path(path_of(store, replace(KEY, width=3))).write_text("orphan")
    with store.lock_path(path_of(store, busy)) as ours:
        assert ours
        gone = prune(store, PruneRules())
    assert {removed.why for removed in gone} == {"left over"}
    assert store.find(KEY) == ENGINE
    assert {name for name in names(store) if not name.startswith("fast-x2-2x270")} == {
        KEY.file_name,
        get_manifest_path(path_of(store)).name,
    }
    assert len(names(store)) == 2 + 5


def test_a_missing_folder_has_nothing_to_prune(store: EngineCache) -> None:
    assert prune(store, PruneRules(everything=True)) == []
    assert store.list_engines() == []


def test_the_estimate_is_the_last_build_of_the_nearest_size_on_the_same_gpu(store: EngineCache) -> None:
    for width, gpu, seconds in ((480, "A", 10.0), (1280, "A", 60.0), (700, "B", 99.0)):
        store.keep(replace(KEY, width=width, gpu=gpu), ENGINE, seconds)
    assert store.estimate_seconds(replace(KEY, width=640, gpu="A", driver="new")) == 10.0
    assert store.estimate_seconds(replace(KEY, width=960, gpu="A")) == 60.0
    assert store.estimate_seconds(replace(KEY, gpu="C")) == 0.0
