"""What a file is: a picture or a video. Its content says so, its name only where the content says nothing."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 1024

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff"),
    *(".bmp", ".dib", ".gif", ".apng", ".heic", ".heif", ".jxl"),
)
WRITABLE_SUFFIXES = IMAGE_SUFFIXES[:9]  # the formats of the others are only read
VIDEO_SUFFIXES = (
    *(".mkv", ".mp4", ".mov", ".m4v", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".mpe", ".wmv"),
    *(".flv", ".f4v", ".vob", ".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".m2v", ".asf", ".divx", ".dv", ".qt"),
    *(".y4m", ".rm", ".rmvb", ".nut", ".ivf", ".264", ".h264", ".265", ".h265", ".hevc", ".mjpeg"),
)
SOUND_SUFFIXES = (".m4a", ".m4b", ".mka", ".oga", ".ogg", ".opus", ".wma", ".aac", ".mp3", ".flac", ".wav")
IGNORED_NAMES = ("thumbs.db", "desktop.ini")  # systems put them into folders
UNREAD_FORMATS = ("bmp", "jxl", "heic")
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
TRANSPORT_PACKETS = (188, 192)  # bytes; in the latter, 4 bytes with a time come before each packet


def find_kind(path: Path) -> str:
    """ "picture", "video", or an empty string."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""
    suffix = path.suffix.lower()
    if detect_image_format(head):
        return "picture"
    if is_video_head(head) and suffix not in SOUND_SUFFIXES:
        return "video"
    return "picture" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else ""


def is_unread_image(path: Path) -> bool:
    """Whether it is a picture of a format that is only recognised."""
    try:
        with path.open("rb") as file:
            return detect_image_format(file.read(HEAD_BYTES)) in UNREAD_FORMATS
    except OSError:
        return False


def detect_image_format(head: bytes) -> str:
    """The format of a picture that begins like that, or an empty string."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "bmp"
    if head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \r\n\x87\n":
        return "jxl"
    return _detect_heif(head)


def _detect_heif(head: bytes) -> str:
    if head[4:8] != b"ftyp":
        return ""
    brands = [head[at : at + 4] for at in range(8, min(int.from_bytes(head[:4], "big"), len(head)), 4)]
    if any(brand in AVIF_BRANDS for brand in brands):
        return "avif"
    return "heic" if brands and brands[0] in HEIC_BRANDS else ""


def is_video_head(head: bytes) -> bool:
    """Whether a file that begins like that is of a format for videos; it may still have only sound in it."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head.startswith(b"\x1a\x45\xdf\xa3"):
        return True
    if (head[:4] == b"RIFF" and head[8:11] == b"AVI") or head[:3] == b"FLV" or head[:9] == b"YUV4MPEG2":
        return True
    if head[:4] in (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75", b"\x06\x0e\x2b\x34", b".RMF", b"DKIF"):
        return True
    starts = [(size - 188, size) for size in TRANSPORT_PACKETS]
    return any(len(head) > 3 * size and all(head[at + n * size] == 0x47 for n in range(3)) for at, size in starts)
