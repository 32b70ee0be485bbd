"""The interfaces of Windows' sound system, as in mmdeviceapi.h and audioclient.h, as far as they are used."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_int, c_longlong, c_uint32, c_uint64, c_void_p, wintypes
from uuid import UUID

from live_sr.system.com import Interface

CLSID_MM_DEVICE_ENUMERATOR = UUID("bcde0395-e52f-467c-8e3d-c4579291692e")
CLSCTX_ALL = 0x17
COINIT_MULTITHREADED = 0

# EDataFlow, ERole, AUDCLNT_SHAREMODE
RENDER, CONSOLE, SHARED = 0, 0, 0

AUDCLNT_STREAMFLAGS_LOOPBACK = 0x00020000
AUDCLNT_STREAMFLAGS_SRC_DEFAULT_QUALITY = 0x08000000
AUDCLNT_STREAMFLAGS_AUTOCONVERTPCM = 0x80000000
AUDCLNT_BUFFERFLAGS_SILENT = 0x2
AUDCLNT_BUFFERFLAGS_TIMESTAMP_ERROR = 0x4
WAVE_FORMAT_IEEE_FLOAT = 3


class WaveFormat(Structure):
    """WAVEFORMATEX."""

    _pack_ = 1
    _fields_ = (
        ("wFormatTag", wintypes.WORD),
        ("nChannels", wintypes.WORD),
        ("nSamplesPerSec", wintypes.DWORD),
        ("nAvgBytesPerSec", wintypes.DWORD),
        ("nBlockAlign", wintypes.WORD),
        ("wBitsPerSample", wintypes.WORD),
        ("cbSize", wintypes.WORD),
    )


ENUMERATOR = Interface(
    UUID("a95664d2-9614-4f35-a746-de8db63617e6"),  # IMMDeviceEnumerator
    (
        ("EnumAudioEndpoints", (c_int, wintypes.DWORD, c_void_p)),
        ("GetDefaultAudioEndpoint", (c_int, c_int, c_void_p)),
    ),
)
DEVICE = Interface(
    UUID("d666063f-1587-4e43-81f1-b948e807363f"),  # IMMDevice
    (
        ("Activate", (c_void_p, wintypes.DWORD, c_void_p, c_void_p)),
        ("OpenPropertyStore", (wintypes.DWORD, c_void_p)),
        ("GetId", (c_void_p,)),
    ),
)
AUDIO_CLIENT = Interface(
    UUID("1cb9ad4c-dbfa-4c32-b178-c2f568a703b2"),  # IAudioClient
    (
        ("Initialize", (c_int, wintypes.DWORD, c_longlong, c_longlong, c_void_p, c_void_p)),
        ("GetBufferSize", (POINTER(c_uint32),)),
        ("GetStreamLatency", (c_void_p,)),
        ("GetCurrentPadding", (POINTER(c_uint32),)),
        ("IsFormatSupported", (c_int, c_void_p, c_void_p)),
        ("GetMixFormat", (c_void_p,)),
        ("GetDevicePeriod", (c_void_p, c_void_p)),
        ("Start", ()),
        ("Stop", ()),
        ("Reset", ()),
        ("SetEventHandle", (wintypes.HANDLE,)),
        ("GetService", (c_void_p, c_void_p)),
    ),
)
CAPTURE_CLIENT = Interface(
    UUID("c8adbd64-e71e-48a0-a4de-185c395cd317"),  # IAudioCaptureClient
    (
        (
            "GetBuffer",
            (c_void_p, POINTER(c_uint32), POINTER(wintypes.DWORD), POINTER(c_uint64), POINTER(c_uint64)),
        ),
        ("ReleaseBuffer", (c_uint32,)),
        ("GetNextPacketSize", (POINTER(c_uint32),)),
    ),
)
