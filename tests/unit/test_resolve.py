"""What a name stands for: asked in one place, and answered once."""

from __future__ import annotations

import ast
import pickle
import re
import shutil
from pathlib import Path

import pytest

from live_sr.engines.live.build_request import Selection
from live_sr.errors import LiveSRError, MissingPart, ModelError, UnknownModel
from live_sr.models import zoo
from live_sr.models.resolve import FILTER_SCALES, FILTERS, Kind, list_models, resolve
from live_sr.pipeline.frame import Size

PACKAGE = Path(__file__).parents[2] / "live_sr"
TURBO = zoo.find("turbo", 2).onnx


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are started, with a few files; the user has no models."""
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(TURBO, "lone-x2.onnx")
    shutil.copy(TURBO, "lone.onnx")
    shutil.copy(TURBO, "a+b-x2.onnx")
    shutil.copy(TURBO, "carded.onnx")
    shutil.copy(TURBO.with_suffix(".toml"), "carded.toml")
    Path("broken.onnx").write_bytes(b"no network")
    Path("empty.param").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "scales", "title"),
    [
        ("turbo", Kind.NETWORK, (2, 4), "turbo"),
        ("bicubic", Kind.FILTER, FILTER_SCALES, "bicubic"),
        ("lone-x2.onnx", Kind.NETWORK, (2,), "lone"),
        ("./LONE-X2.ONNX", Kind.NETWORK, (2,), "LONE"),
        ("lone.onnx", Kind.NETWORK, (2, 3, 4), "lone"),  # nothing says its scale
        ("carded.onnx", Kind.NETWORK, (2,), "turbo"),
        ("a+b-x2.onnx", Kind.NETWORK, (2,), "a+b"),  # a file, whatever its name looks like
        ("turbo+turbo", Kind.CHAIN, (4, 8), "turbo+turbo"),
        ("resize:0.5+turbo-x4", Kind.CHAIN, (2,), "resize:0.5+turbo-x4"),
        ("lone-x2.onnx+turbo", Kind.CHAIN, (4, 8), "lone-x2.onnx+turbo"),
    ],
)
def test_a_name_stands_for_one_kind_of_model(name: str, kind: Kind, scales: tuple[int, ...], title: str) -> None:
    shutil.copy(TURBO, "LONE-X2.ONNX")
    model = resolve(name)
    assert (model.name, model.kind, model.scales, model.title) == (name, kind, scales, title)
    assert model.reader is None
    assert model.is_filter == (kind is Kind.FILTER)
    assert [card.scale for card in model.cards] == ([] if kind in (Kind.FILTER, Kind.CHAIN) else list(scales))


@pytest.mark.torch
@pytest.mark.needs("spandrel")
def test_a_published_network_says_what_reads_it() -> None:
    model = resolve(str(TURBO.with_suffix(".safetensors")))
    assert (model.kind, model.scales, model.reader and model.reader.name) == (Kind.PUBLISHED, (2,), "torch")


@pytest.mark.parametrize(
    ("name", "scale", "error", "sentence", "remedy"),
    [
        ("turboo", None, UnknownModel, 'no model called "turboo". Did you mean "turbo"?', "fast"),
        ("bicubik", None, UnknownModel, 'Did you mean "bicubic"?', "bicubic"),
        ("turbo", 3, ModelError, "there is no x3 of turbo: x2, x4", "one of these scales"),
        ("nowhere.onnx", None, UnknownModel, "there is no model file nowhere.onnx", "correct the path"),
        ("nowhere.pth", None, UnknownModel, "there is no model file nowhere.pth", "correct the path"),
        ("broken.onnx", None, ModelError, "broken.onnx cannot be used", "get the file again"),
        ("lone-x2.onnx", 4, ModelError, "lone-x2.onnx makes pictures x2, not x4", "use scale 2"),
        ("turbo+", None, ModelError, "a part of it is empty", "write the models like"),
        ("turbo+turbo", 2, ModelError, "there is no x2 of the chain turbo+turbo: x4, x8", "one of these scales"),
        ("turbo+bicubic", None, ModelError, "bicubic is a filter", "resize:2"),
        ("turbo+turboo", None, UnknownModel, 'no model called "turboo"', "fast"),
        ("nowhere.pth+turbo", None, UnknownModel, "there is no model file nowhere.pth", "correct the path"),
        ("turbo+empty.param", None, ModelError, "empty.param cannot be in a chain", "models by name"),
        ("turbo-x3+turbo", None, UnknownModel, 'no model called "turbo-x3"', "fast"),
        ("resize:0.5+resize:2", None, ModelError, "no network in it", "bicubic"),
    ],
)
def test_a_wrong_name_gets_a_sentence_and_a_remedy(
    name: str, scale: int | None, error: type[LiveSRError], sentence: str, remedy: str
) -> None:
    with pytest.raises(error) as caught:
        resolve(name, scale)
    assert sentence in caught.value.message
    assert remedy in caught.value.remedy
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 7


def test_a_missing_library_is_not_a_wrong_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ncnn", None)
    with pytest.raises(MissingPart) as caught:
        resolve("empty.param")
    assert caught.value.exit_code == 8 and "pip install" in caught.value.remedy


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", ["bicubic", "lone.onnx"])
def test_a_filter_and_a_file_that_does_not_say_its_scale_can_have_any(name: str, scale: int) -> None:
    card = resolve(name, scale).get_card(scale)
    assert card is None if name == "bicubic" else card is not None and card.scale == scale


@pytest.mark.parametrize(("name", "scale"), [("turbo", 2), ("bicubic", 2), ("turbo+turbo", 4), ("lone-x2.onnx", 2)])
def test_the_default_scale_is_the_smallest_that_enlarges(name: str, scale: int) -> None:
    assert resolve(name).default_scale == scale


def test_the_keys_go_through_every_model_once_and_filters_last() -> None:
    models = list_models()
    names = [model.name for model in models]
    assert names[-len(FILTERS) :] == list(FILTERS)
    assert sorted(names) == sorted({*zoo.list_names(), *FILTERS})
    assert models == [resolve(name) for name in names]


def test_a_model_that_was_resolved_reads_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window's size may change with every frame."""
    models = [resolve(name) for name in ("turbo", "bicubic", "lone-x2.onnx", "turbo+turbo")]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    with monkeypatch.context() as patch:
        for reading in ("open", "read_bytes", "read_text", "is_file", "glob"):
            patch.setattr(Path, reading, refuse)
        scales = [Selection(model, None).choose_scale(Size(480, 270), Size(1920, 1080)) for model in models]
        cards = [model.get_card(2) for model in models[:3]]
        equal = [model == other for model in models for other in models]
    assert scales == [4, 4, 2, 4]
    assert [card is None for card in cards] == [False, True, False]
    assert equal.count(True) == len(models)


@pytest.mark.parametrize("name", ["turbo", "bicubic", "lone-x2.onnx", "turbo+turbo"])
def test_a_model_travels_to_other_processes(name: str) -> None:
    model = resolve(name)
    there = pickle.loads(pickle.dumps(model))
    assert there == model and hash(there) == hash(model)


# One place. What reads files may look at their suffixes; nobody else asks what kind of model a name or a file is.

READERS = ("models/", "backends.py", "training/weights.py")
MODEL_SUFFIXES = {".onnx", ".pth", ".pt", ".pb", ".param", ".safetensors"}


def questions(path: Path) -> list[str]:
    """The expressions in a file that ask what kind of model something is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.unparse(node) if isinstance(node, ast.Compare | ast.Call) else ""
        words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} if text else set()
        by_suffix = words & MODEL_SUFFIXES and re.search(r"\.(suffix\b|endswith\()", text)
        by_list = isinstance(node, ast.Compare) and any(
            isinstance(op, ast.In | ast.NotIn) and ast.unparse(right).endswith("FILTERS")
            for op, right in zip(node.ops, node.comparators, strict=True)
        )
        by_name = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("is_chain")
        if by_suffix or by_list or by_name:
            found.append(text)
    return found


def test_nobody_else_asks_what_kind_of_model_a_name_is() -> None:
    asking = {
        str(path.relative_to(PACKAGE)): questions(path)
        for path in PACKAGE.rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(READERS)
    }
    assert {path: found for path, found in asking.items() if found} == {}


def test_within_the_models_only_one_module_classifies_names() -> None:
    asking = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.glob("models/**/*.py")
        for text in questions(path)
        if "FILTERS" in text or "is_chain" in text or "name" in text.split(".endswith")[0].split(".suffix")[0]
    ]
    assert set(asking) <= {"models/resolve.py", "models/user_folder.py"}


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    source = 'a.endswith(".onnx")\nPath(b).suffix.lower() == ".pth"\nc in FILTERS\nd not in resolve.FILTERS\n'
    (tmp_path / "probe.py").write_text(source + "chain.is_chain(e)\nb.suffix == '.png'\n", encoding="utf-8")
    assert len(questions(tmp_path / "probe.py")) == 5
