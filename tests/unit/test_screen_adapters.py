"""Of several graphics cards, the one that a screen hangs on is used; here are stand-ins for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from live_sr.manage import doctor
from live_sr.system import hardware, screen_adapters
from live_sr.system.hardware import DisplayDevice
from live_sr.system.screen_adapters import PciId, find_screen_adapters

INTEL, GTX, RADEON = PciId(0x8086, 0x9A49), PciId(0x10DE, 0x1C82), PciId(0x1002, 0x73FF)
MEGABYTE = 1 << 20


def add_card(drm: Path, name: str, pci: PciId | None, **connectors: tuple[str, str]) -> None:
    """A card as Linux describes it. connectors: the words in their files `status` and `enabled`."""
    device = drm / name / "device"
    device.mkdir(parents=True)
    if pci is not None:
        (device / "vendor").write_text(f"{pci.vendor:#06x}\n")
        (device / "device").write_text(f"{pci.device:#06x}\n")
    for connector, words in connectors.items():
        folder = drm / f"{name}-{connector.replace('_', '-')}"
        folder.mkdir()
        for file, word in zip(("status", "enabled"), words, strict=True):
            (folder / file).write_text(word + "\n")


ON, CLOSED, EMPTY = ("connected", "enabled"), ("connected", "disabled"), ("disconnected", "disabled")


@pytest.mark.parametrize(
    ("laptop", "external", "expected"),
    [(ON, EMPTY, {INTEL}), (CLOSED, ON, {GTX}), (ON, ON, {INTEL, GTX}), (EMPTY, EMPTY, set())],
)
def test_linux_tells_which_card_shows_something(
    laptop: tuple[str, str],
    external: tuple[str, str],
    expected: set[PciId],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(screen_adapters, "get_platform", lambda: "linux")
    add_card(tmp_path, "card1", INTEL, eDP_1=laptop, DP_1=EMPTY)
    add_card(tmp_path, "card0", GTX, HDMI_A_1=external)
    add_card(tmp_path, "card2", None, DVI_I_1=ON)  # on USB
    add_card(tmp_path, "renderD128", INTEL)
    assert find_screen_adapters(tmp_path) == expected
    assert find_screen_adapters(tmp_path / "none") == frozenset()


def test_windows_tells_which_card_drives_the_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    attached, primary = 0x1, 0x4
    said = [
        (r"PCI\VEN_8086&DEV_9A49&SUBSYS_0A681028&REV_01", attached | primary),
        (r"PCI\VEN_8086&DEV_9A49&SUBSYS_0A681028&REV_01", 0),
        (r"PCI\VEN_10DE&DEV_1C82&SUBSYS_11BF1025&REV_A1", 0),
        (r"ROOT\BASICRENDER", attached),
    ]
    devices = [DisplayDevice(DeviceID=name, StateFlags=flags) for name, flags in said]
    monkeypatch.setattr(screen_adapters, "get_platform", lambda: "win32")
    monkeypatch.setattr(hardware, "list_display_devices", lambda: devices)
    assert find_screen_adapters() == {INTEL}


def make_handle(name: str, kind: str, pci: PciId, backend: str = "Vulkan") -> SimpleNamespace:
    """What wgpu has of an adapter."""
    about = {"device": name, "backend_type": backend, "adapter_type": kind, "vendor": "driver", "description": "1.2"}
    limits = dict.fromkeys(("max-storage-buffer-binding-size", "max-buffer-size"), 128 * MEGABYTE)
    ids = {"vendor_id": pci.vendor, "device_id": pci.device}
    return SimpleNamespace(info=about | ids, features=[], limits=limits)


UHD = make_handle("Intel UHD", "IntegratedGPU", INTEL)
GTX_1050 = make_handle("GeForce GTX 1050", "DiscreteGPU", GTX)
GTX_ON_D3D12 = make_handle("NVIDIA GeForce GTX 1050", "DiscreteGPU", GTX, "D3D12")
RX_6600 = make_handle("Radeon RX 6600", "DiscreteGPU", RADEON)
SOFTWARE = make_handle("llvmpipe", "CPU", PciId(0x10005, 0))

UseCards = Callable[..., None]


@pytest.fixture
def use_cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[UseCards]:
    """Has wgpu list these handles. screens: the cards that drive one."""
    from live_sr.engines.webgpu import adapters

    def use(*handles: SimpleNamespace, screens: set[PciId]) -> None:
        monkeypatch.setattr(adapters.wgpu.gpu, "enumerate_adapters_sync", lambda: list(handles))
        monkeypatch.setattr(adapters, "find_screen_adapters", lambda: frozenset(screens))
        adapters.list_adapters.cache_clear()

    yield use
    adapters.list_adapters.cache_clear()


@pytest.mark.needs("wgpu")
@pytest.mark.parametrize(
    ("handles", "screens", "expected"),
    [
        ([GTX_1050, UHD], {INTEL}, "Intel UHD (Vulkan, integrated): the screen hangs on it"),
        ([UHD, GTX_1050], {GTX}, "GeForce GTX 1050 (Vulkan, graphics card): the screen hangs on it"),
        (
            [UHD, GTX_1050],
            {GTX, INTEL},
            "GeForce GTX 1050 (Vulkan, graphics card): the best of those that a screen hangs on",
        ),
        (
            [UHD, GTX_1050],
            set(),
            "GeForce GTX 1050 (Vulkan, graphics card): the best of them; "
            "the system does not tell which one a screen hangs on",
        ),
        ([GTX_ON_D3D12, GTX_1050], {GTX}, "GeForce GTX 1050 (Vulkan, graphics card): there is no other graphics card"),
        ([SOFTWARE, UHD], set(), "Intel UHD (Vulkan, integrated): there is no other graphics card"),
        ([RX_6600, SOFTWARE, UHD], {INTEL}, "Intel UHD (Vulkan, integrated): the screen hangs on it"),
    ],
)
def test_the_card_with_the_screen_is_used_and_doctor_says_why(
    handles: list[SimpleNamespace], screens: set[PciId], expected: str, use_cards: UseCards
) -> None:
    from live_sr.engines.webgpu import adapters

    use_cards(*handles, screens=screens)
    assert f"{adapters.find_adapter('auto')}: " == expected[: expected.index(": ") + 2]
    report = doctor.collect_report(None)
    told = [finding.says for section in report.sections for finding in section.findings]
    assert expected in told
    assert sum("drives a screen" in line for line in told) == sum(
        (handle.info["vendor_id"], handle.info["device_id"]) in screens for handle in handles
    )


@pytest.mark.needs("wgpu")
def test_a_card_that_is_named_is_used_wherever_the_screen_hangs(use_cards: UseCards) -> None:
    from live_sr.engines.webgpu import adapters

    use_cards(UHD, GTX_1050, SOFTWARE, screens={INTEL})
    for wanted, name in (("geforce", "GeForce GTX 1050"), ("llvmpipe", "llvmpipe")):
        assert adapters.find_adapter(wanted).name == name
        assert adapters.explain_choice(wanted).endswith(f'): [engine] adapter = "{wanted}" names it')


@pytest.mark.needs("ncnn")
def test_ncnn_uses_the_same_card(monkeypatch: pytest.MonkeyPatch) -> None:
    from live_sr.engines.other_formats import ncnn

    known = [("llvmpipe", 3, PciId(0x10005, 0)), ("GeForce GTX 1050", 0, GTX), ("Intel UHD", 1, INTEL)]
    infos = [
        SimpleNamespace(
            device_name=lambda name=name: name,
            type=lambda kind=kind: kind,
            vendor_id=lambda pci=pci: pci.vendor,
            device_id=lambda pci=pci: pci.device,
        )
        for name, kind, pci in known
    ]
    monkeypatch.setattr(hardware, "describe_missing_adapter", lambda: "")
    monkeypatch.setattr(ncnn, "ncnn", SimpleNamespace(get_gpu_count=lambda: 3, get_gpu_info=infos.__getitem__))
    for screens, number in (({INTEL}, 2), ({GTX, INTEL}, 1), (set(), 1)):
        monkeypatch.setattr(ncnn, "find_screen_adapters", lambda screens=screens: screens)
        assert ncnn.find_adapter("auto") == number
    assert ncnn.find_adapter("llvm") == 0
