"""Ways to run one network on a card, and the choice among them by trial: what is right first, then what is fast.

No card is taken for what its name promises. On a GTX 16xx, whose compute capability is that of an RTX 20xx, fp16 may
give NaNs and channels-last may be twenty times slower; so each tactic enlarges a known picture before it may be used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from live_sr.compiled.build import Cancelled
from live_sr.contracts import Watch
from live_sr.errors import EngineError, ModelError, reason
from live_sr.frame import Size
from live_sr.models.card import ModelCard
from live_sr.models.framed import Framed, framed, network

Run = Callable[[Tensor], Tensor]
"""BGRA uint8 (1, H, W, 4) -> BGRA uint8 (1, H * scale, W * scale, 4), both C-contiguous, on one device."""

Stopwatch = Callable[[Run, Tensor], float]
"""(what to run, a picture) -> milliseconds that the card takes for it."""

WORST = 8
"""Levels of 255 that a tactic may be off anywhere. fp16 on a CPU is off by at most 1, bf16 by 2 (test_framed)."""
MEAN = 0.5
"""And on average. fp16 on a CPU: 0.04, bf16: 0.23."""
FAITHFUL = 16
"""Levels that the picture of the whole-precision network, averaged to the size it was, may differ on average."""


@dataclass(frozen=True)
class Task:
    """What is to be run: the model of a card in a precision, for pictures of `size`, on what PyTorch calls `device`."""

    card: ModelCard
    precision: str
    size: Size
    device: str

    def module(self) -> Framed:
        """A new one each time. Raises ModelError."""
        return framed(self.card, self.precision).to(self.device)


MakeRun = Callable[[], Run]
"""-> what one slot runs. Slots may get the same one unless it keeps memory of its own between two calls."""


@dataclass(frozen=True)
class Tactic:
    """One row of the table. obstacle: why it is not worth trying; at_once: building it takes no time worth a word."""

    name: str
    build: Callable[[Task], MakeRun]
    obstacle: Callable[[Task], str] = lambda task: ""
    at_once: bool = True


@dataclass(frozen=True)
class Taken:
    """The tactic in use. ms: what the card took for a frame; None: it was not timed. passed_over: with the reasons."""

    tactic: str
    precision: str
    make_run: MakeRun = field(repr=False)
    ms: float | None = None
    passed_over: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.tactic} {self.precision}"

    def __str__(self) -> str:
        why = "the first that passed" if self.ms is None else f"the fastest that passed, {self.ms:.2f} ms a frame"
        lines = [f"tactic: {self.name}, {why}"]
        return "\n".join(lines + [f"  not {name}: {reason}" for name, reason in self.passed_over])


def choose(tactics: tuple[Tactic, ...], tasks: tuple[Task, ...], stopwatch: Stopwatch | None, watch: Watch) -> Taken:
    """The fastest tactic that makes the right picture; without a stopwatch the first one.

    tasks: the same one in each precision that is welcome, the most wished for first. For the second the plainest tactic
    is tried in any case, the others only if that one is faster than all before it, or if none before it passed.
    Raises EngineError when none passes, and Cancelled when the watcher gives up.
    """
    example = pattern(tasks[0].size).to(tasks[0].device)
    expected = reference(replace(tasks[0], precision="fp32").module(), example)
    best: Taken | None = None
    passed_over: list[tuple[str, str]] = []
    for task in tasks:
        for tactic in tactics:
            name = f"{tactic.name} {task.precision}"
            if best is not None and best.precision != task.precision and tactic is not tactics[0]:
                passed_over.append((name, f"{best.precision} is faster here"))
                continue
            if watch.cancelled():
                raise Cancelled("the trial of the graphics card was given up", "start it again")
            watch.progress(f"trying {name}")
            tried = _tried(tactic, task, example, expected, stopwatch)
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
        raise EngineError(f"PyTorch makes no right picture on this card: {reasons}", REMEDY)
    return replace(best, passed_over=tuple(passed_over))


REMEDY = "use another engine, and update NVIDIA's driver"


def _tried(tactic: Tactic, task: Task, example: Tensor, expected: Tensor, stopwatch: Stopwatch | None) -> Taken | str:
    """The tactic with its time, or why it is out."""
    if stopwatch is None and not tactic.at_once:
        return "it takes long to build"
    try:
        why = tactic.obstacle(task)
        if why:
            return why
        make_run = tactic.build(task)
        run = make_run()
        why = deviation(run(example), expected)
        return why or Taken(tactic.name, task.precision, make_run, stopwatch(run, example) if stopwatch else None)
    except ModelError:
        raise
    except Exception as error:  # compilers and drivers fail in every way there is; the next tactic may not
        return (reason(error).splitlines() or [""])[0]


def deviation(made: Tensor, expected: Tensor) -> str:
    """Why that is not the picture expected, or an empty string."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return f"it makes {tuple(made.shape)} of {made.dtype}, not {tuple(expected.shape)} of {expected.dtype}"
    if bool((made[..., 3] != 255).any()):  # a sum over the same values as the colours: NaN where one of them is
        return "its numbers overflow (NaN)"
    apart = (made.short() - expected.short()).abs()
    worst, mean = int(apart.max()), float(apart[..., :3].float().mean())
    if worst > WORST or mean > MEAN:
        return f"its picture is off by {mean:.2f} levels of 255 on average and {worst} at worst"
    return ""


def reference(module: Framed, example: Tensor) -> Tensor:
    """What the tactics must make, by the plainest one in whole fp32. Raises EngineError when even that is wrong."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
        made: Tensor = module(example)
    _, height, width, _ = example.shape
    cells = made.float().reshape(1, height, module.scale, width, module.scale, 4).mean(dim=(2, 4))
    apart = float((cells - example).abs()[..., :3].mean())
    if apart > FAITHFUL or bool((made[..., 3] != 255).any()):
        raise EngineError(f"PyTorch computes wrongly on this card: the picture is off by {apart:.0f} levels", REMEDY)
    return made


def pattern(size: Size) -> Tensor:
    """A picture with what frames of games have: slopes, hard edges, fine stripes, grain and flat colour.

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


def _nchw(task: Task) -> MakeRun:
    module = task.module()
    return lambda: module


def _channels_last(task: Task) -> MakeRun:
    module = _laid_out(task)
    return lambda: module


def _fused(task: Task) -> MakeRun:
    from live_sr.engine.fused import FusedCellNet

    net = network(task.card)
    return lambda: FusedCellNet(net, task.size, task.device)  # each has a memory of its own


def _not_fused(task: Task) -> str:
    from live_sr.engine import fused

    if task.precision != "fp16":
        return "it computes in fp16"
    return fused.obstacle(network(task.card).shape, torch.cuda.get_device_capability(task.device))


def _compiled(task: Task) -> MakeRun:
    """Through Inductor, whose pool of compiling processes would outlive us: it compiles in this one instead."""
    from torch._inductor import config

    config.compile_threads = 1
    run = torch.compile(_laid_out(task), mode="max-autotune-no-cudagraphs", dynamic=False, fullgraph=True)
    return lambda: run


def _laid_out(task: Task) -> Framed:
    module = task.module()
    module.channels_last = True
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # not in its stubs


def _no_triton(task: Task) -> str:
    there = importlib.util.find_spec("triton") is not None
    return (
        "" if there else "Triton is not installed (it comes with PyTorch on Linux; Windows: pip install triton-windows)"
    )


TACTICS = (
    Tactic("nchw", _nchw),
    Tactic("channels-last", _channels_last),
    Tactic("fused", _fused, _not_fused, at_once=False),
    Tactic("compiled", _compiled, _no_triton, at_once=False),
)
"""The plainest first."""
