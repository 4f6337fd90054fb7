"""What a file is, by how it begins. Pure."""


def format_of(head: bytes) -> str | None:
    """The one ffmpeg demuxer that may read a file beginning with these 64 bytes; None: no sound we take.

    Only formats that hold their sound in themselves: a playlist names other files and addresses.
    """
    match head[:4], head[4:8], head[8:12]:
        case (b"RIFF" | b"RF64", _, b"WAVE"):
            return "wav"
        case (b"fLaC", _, _):
            return "flac"
        case (b"OggS", _, _):
            return "ogg"
        case (_, b"ftyp", _):
            return "mov"
    return "mp3" if head[:3] == b"ID3" or _begins_mpeg_frame(head) else None


def _begins_mpeg_frame(head: bytes) -> bool:
    """Eleven bits set, then an MPEG version, layer III, a bit rate and a sampling rate that exist."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3
