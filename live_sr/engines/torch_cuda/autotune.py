"""Tactics to run a network on a GPU, and the choice among them by trial: correct first, then fast.

The name of a GPU does not tell which tactics work. On a GTX 16xx, whose compute capability is that of an RTX 20xx, fp16
may give NaNs and channels-last may be twenty times slower. So each tactic enlarges a known picture before it is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from live_sr.engines.cache.build_process import BuildCancelled
from live_sr.errors import EngineError, ModelError, reason
from live_sr.models.card import ModelCard
from live_sr.models.export.torch_io import IOWrapper, load_network, wrap_torch_io
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Size

Run = Callable[[Tensor], Tensor]
"""BGRA uint8 (1, H, W, 4) -> BGRA uint8 (1, H * scale, W * scale, 4), both C-contiguous, on one device."""

Stopwatch = Callable[[Run, Tensor], float]
"""(what to run, a picture) -> milliseconds that the GPU takes for it."""

MAX_DEVIATION = 8
"""Levels of 255 that any value may be off. fp16 on a CPU is off by at most 1, bf16 by 2."""
MAX_MEAN_DEVIATION = 0.5
"""Levels that values may be off on average. fp16 on a CPU: 0.04, bf16: 0.23."""
MAX_REFERENCE_DEVIATION = 16
"""Levels that the fp32 picture, averaged down to the size of the input, may differ from it on average."""


@dataclass(frozen=True)
class TacticTask:
    """What to run: a model in a precision, for pictures of `size`, on the PyTorch device of that name."""

    card: ModelCard
    precision: str
    size: Size
    device: str

    def make_module(self) -> IOWrapper:
        """A new module each time. Raises ModelError."""
        return wrap_torch_io(self.card, self.precision).to(self.device)


MakeRun = Callable[[], Run]
"""-> what one slot runs. Slots may share one, unless it keeps memory of its own between calls."""


@dataclass(frozen=True)
class Tactic:
    """A way to run a network.

    unavailable_reason: why it is not worth trying, or empty. at_once: building it takes next to no time. any_size: once
    it was built, so does building it for another size.
    """

    name: str
    build: Callable[[TacticTask], MakeRun]
    unavailable_reason: Callable[[TacticTask], str] = lambda task: ""
    at_once: bool = True
    any_size: bool = True


@dataclass(frozen=True)
class ChosenTactic:
    """The tactic in use. ms: time for a frame; None: it was not timed. passed_over: the others, with reasons.

    make_run_for: the same for pictures of another size; None: that takes long.
    """

    tactic: str
    precision: str
    make_run: MakeRun = field(repr=False)
    ms: float | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    make_run_for: Callable[[Size], MakeRun] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.tactic} {self.precision}"

    def __str__(self) -> str:
        why = "the first that passed" if self.ms is None else f"the fastest that passed, {self.ms:.2f} ms a frame"
        lines = [f"tactic: {self.name}, {why}"]
        return "\n".join(lines + [f"  not {name}: {reason}" for name, reason in self.passed_over])


def choose_tactic(
    tactics: tuple[Tactic, ...], tasks: tuple[TacticTask, ...], stopwatch: Stopwatch | None, watch: BuildMonitor
) -> ChosenTactic:
    """The fastest tactic that makes the correct picture; without a stopwatch the first one.

    tasks: the same task in each acceptable precision, the preferred one first. In the second precision the simplest
    tactic is always tried, the others only if that one is faster than all before it, or if none before it passed.
    Raises EngineError if none passes, and BuildCancelled if `watch` cancels.
    """
    example = make_test_picture(tasks[0].size).to(tasks[0].device)
    expected = compute_reference(replace(tasks[0], precision="fp32").make_module(), example)
    best: ChosenTactic | None = None
    passed_over: list[tuple[str, str]] = []
    for task in tasks:
        for tactic in tactics:
            name = f"{tactic.name} {task.precision}"
            if best is not None and best.precision != task.precision and tactic is not tactics[0]:
                passed_over.append((name, f"{best.precision} is faster here"))
                continue
            if watch.cancelled():
                raise BuildCancelled("the trial of ways to run on the GPU was cancelled", "start it again")
            watch.progress(f"trying {name}")
            tried = _try_tactic(tactic, task, example, expected, stopwatch)
            if isinstance(tried, str):
                passed_over.append((name, tried))
            elif stopwatch is None:
                return replace(tried, passed_over=tuple(passed_over))
            elif best is None or (tried.ms or 0) < (best.ms or 0):
                passed_over += [] if best is None else [(best.name, f"it takes {best.ms:.2f} ms a frame")]
                best = tried
            else:
                passed_over.append((name, f"it takes {tried.ms:.2f} ms a frame"))
    if best is None:
        reasons = "; ".join(f"{name}: {why}" for name, why in passed_over)
        raise EngineError(f"PyTorch makes no correct picture on this GPU: {reasons}", REMEDY)
    return replace(best, passed_over=tuple(passed_over))


REMEDY = "use another engine, and update NVIDIA's driver"


def _try_tactic(
    tactic: Tactic, task: TacticTask, example: Tensor, expected: Tensor, stopwatch: Stopwatch | None
) -> ChosenTactic | str:
    """The tactic with its time, or the reason why it cannot be used."""
    if stopwatch is None and not tactic.at_once:
        return "it takes long to build"
    try:
        why = tactic.unavailable_reason(task)
        if why:
            return why
        make_run = tactic.build(task)
        run = make_run()
        why = describe_deviation(run(example), expected)
        if why:
            return why
        ms = stopwatch(run, example) if stopwatch else None
        make_run_for = (lambda size: tactic.build(replace(task, size=size))) if tactic.any_size else None
        return ChosenTactic(tactic.name, task.precision, make_run, ms, make_run_for=make_run_for)
    except ModelError:
        raise
    except Exception as error:  # compilers and drivers raise every kind of exception; the next tactic may work
        return (reason(error).splitlines() or [""])[0]


def describe_deviation(made: Tensor, expected: Tensor) -> str:
    """How the picture differs too much from the expected one, or an empty string."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return f"it makes {tuple(made.shape)} of {made.dtype}, not {tuple(expected.shape)} of {expected.dtype}"
    if bool((made[..., 3] != 255).any()):  # alpha sums the same values as the colours do: NaN if one of them is
        return "its numbers overflow (NaN)"
    apart = (made.short() - expected.short()).abs()
    worst, mean = int(apart.max()), float(apart[..., :3].float().mean())
    if worst > MAX_DEVIATION or mean > MAX_MEAN_DEVIATION:
        return f"its picture is off by {mean:.2f} levels of 255 on average and {worst} at worst"
    return ""


def compute_reference(module: IOWrapper, example: Tensor) -> Tensor:
    """The picture that tactics must make, computed in fp32. Raises EngineError if even that is wrong."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
        made: Tensor = module(example)
    _, height, width, _ = example.shape
    cells = made.float().reshape(1, height, module.scale, width, module.scale, 4).mean(dim=(2, 4))
    apart = float((cells - example).abs()[..., :3].mean())
    if apart > MAX_REFERENCE_DEVIATION or bool((made[..., 3] != 255).any()):
        raise EngineError(f"PyTorch computes wrongly on this GPU: the picture is off by {apart:.0f} levels", REMEDY)
    return made


def make_test_picture(size: Size) -> Tensor:
    """A picture with what game frames have: gradients, hard edges, fine stripes, grain and flat colour.

    BGRA uint8 (1, H, W, 4), on the CPU, the same each time, opaque.
    """
    y = torch.arange(size.height).float()[:, None]
    x = torch.arange(size.width).float()[None]
    sky = 200 - 120 * y / size.height + 0 * x
    hills = 128 + 90 * torch.sin(x / 17) * torch.cos(y / 23)
    bricks = torch.where((((x + 8 * ((y // 8) % 2)) % 16 < 2) | (y % 8 < 1)), 40.0, 170.0)
    stripes = 230 * ((x + 2 * y) // 5 % 2)
    grain = ((x * 7919 + y * 104729) * 0.61803398875 % 1 - 0.5) * 24
    where = ((x // 48 + y // 48) % 4).long()
    picture = torch.stack((sky, hills, bricks, stripes))
    chosen = picture.gather(0, where[None])[0] + grain
    colours = [chosen, chosen * 0.8 + 30, 255 - chosen * 0.7, torch.full_like(chosen, 255.0)]
    return torch.stack(colours, 2).clamp(0, 255).to(torch.uint8)[None]


def _build_nchw(task: TacticTask) -> MakeRun:
    module = task.make_module()
    return lambda: module


def _build_channels_last(task: TacticTask) -> MakeRun:
    module = _make_channels_last(task)
    return lambda: module


def _build_fused(task: TacticTask) -> MakeRun:
    from live_sr.engines.torch_cuda.fused_cellnet import FusedCellNet

    net = load_network(task.card)
    return lambda: FusedCellNet(net, task.size, task.device)  # each has memory of its own


def _check_fused(task: TacticTask) -> str:
    from live_sr.engines.torch_cuda import fused_cellnet

    if task.precision != "fp16":
        return "it computes in fp16"
    return fused_cellnet.unavailable_reason(
        load_network(task.card).shape, torch.cuda.get_device_capability(task.device)
    )


def _build_compiled(task: TacticTask) -> MakeRun:
    """Through Inductor, which compiles in this process, since its pool of processes would outlive this one."""
    from torch._inductor import config

    config.compile_threads = 1
    run = torch.compile(_make_channels_last(task), mode="max-autotune-no-cudagraphs", dynamic=False, fullgraph=True)
    return lambda: run


def _make_channels_last(task: TacticTask) -> IOWrapper:
    module = task.make_module()
    module.channels_last = True
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # not in its stubs


def _check_triton(task: TacticTask) -> str:
    there = importlib.util.find_spec("triton") is not None
    return (
        "" if there else "Triton is not installed (it comes with PyTorch on Linux; Windows: pip install triton-windows)"
    )


TACTICS = (
    Tactic("nchw", _build_nchw),
    Tactic("channels-last", _build_channels_last),
    Tactic("fused", _build_fused, _check_fused, at_once=False),
    Tactic("compiled", _build_compiled, _check_triton, at_once=False, any_size=False),
)
"""The simplest first."""
