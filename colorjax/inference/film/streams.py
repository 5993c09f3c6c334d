"""The streams of a film besides the picture: copied, or sound that is encoded again."""

from __future__ import annotations

from typing import Any, Protocol

from colorjax.inference.film import acm
from colorjax.inference.film.av_package import import_av
from colorjax.inference.film.read import is_cover, open_url

COPY = "copy"
ACM = "acm"  # copied, with the format header of WAV
ATTACHED = "attached"  # a cover, copied as an attachment of Matroska
COPIES = (COPY, ACM, ATTACHED)
# Of 1 to 8 channels, where the film does not name them.
_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
_WIDE = {"s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_PICTURES = {"mjpeg": "jpeg", "png": "png", "bmp": "bmp", "gif": "gif", "webp": "webp"}
# Metadata of the source container, not of the film; the muxer sets its own.
OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder"}


class OutputStream(Protocol):
    """A stream of the output, which gets the packets of a stream of the source."""

    def packets(self, packet: Any) -> list[Any]:
        """Returns packets to write for a packet of the source; for None, those at its end."""
        ...


def add(container: Any, stream: Any, form: str) -> OutputStream:
    """Adds a stream to an output file.

    Args:
        container: output file, not yet started.
        stream: stream of the source.
        form: COPY, ACM, ATTACHED, or the name of an audio encoder.

    Raises:
        FFmpegError, ValueError: the container or the encoder does not accept the stream.
    """
    if form == COPY:
        return _Copied(container.add_stream_from_template(stream, opaque=True), stream)
    if form == ACM:
        return _Copied(acm.add_track(container, stream), stream)
    if form == ATTACHED:
        return _Attached(container, stream)
    return _Encoded(container, stream, form)


def forms(stream: Any, format_name: str) -> list[str]:
    """Returns the forms in which a stream may be stored in a container, the best first."""
    is_matroska = format_name == "matroska"
    if stream.type == "video" and is_cover(stream):
        return [ATTACHED] if is_matroska else [COPY]
    if stream.type != "audio" or stream.codec_context is None:
        return [COPY]
    copies = [COPY, ACM] if is_matroska else [COPY]
    wide = [_WIDE[stream.codec_context.format.packed.name]] if _is_wide_pcm(stream) else []
    return [*copies, *wide, "flac" if is_matroska else "alac", "pcm_s24le", "aac"]


def _is_wide_pcm(stream: Any) -> bool:
    name = stream.codec_context.name
    return name.startswith("pcm_") and ("32" in name or "64" in name)


def change(stream: Any, encoder: str) -> str:
    """Returns what an encoder does to an audio stream, for messages."""
    if encoder == "aac":
        return "encoded again as aac"
    is_float = stream.codec_context.format.packed.name in ("flt", "dbl")
    if (is_float or _is_wide_pcm(stream)) and encoder not in _WIDE.values():
        return f"decoded to 24 bits and stored as {encoder}"
    return f"rewritten without loss as {encoder}"


def describe(stream: Any, like: Any) -> None:
    """Copies metadata and disposition to a stream of the output."""
    kept = {key: value for key, value in like.metadata.items() if key not in OF_THE_CONTAINER}
    kept.pop("rotate", None)  # frames are upright
    stream.metadata.update(kept)
    stream.disposition = like.disposition


class _Copied:
    def __init__(self, made: Any, stream: Any):
        self._made = made
        describe(made, stream)

    def packets(self, packet: Any) -> list[Any]:
        if packet is None:
            return []
        packet.stream = self._made
        return [packet]


class _Attached:
    def __init__(self, container: Any, stream: Any):
        kind = _PICTURES.get(stream.codec_context.name)
        if kind is None:
            raise ValueError(f"no attachment holds a {stream.codec_context.name} picture")
        with open_url(stream.container.name) as again:
            packets = again.demux(again.streams[stream.index])
            picture = next(bytes(packet) for packet in packets if packet.size)
        suffix = kind.replace("jpeg", "jpg")
        name = stream.metadata.get("filename", f"cover.{suffix}")
        made = container.add_attachment(name, f"image/{kind}", picture)
        made.metadata.update({**stream.metadata, **made.metadata})

    def packets(self, packet: Any) -> list[Any]:
        return []


class _Encoded:
    """Sound that is decoded and encoded again; packets that cannot be decoded are left out."""

    def __init__(self, container: Any, stream: Any, encoder: str):
        self._decoder = stream.codec_context
        self._made = container.add_stream(encoder, rate=self._decoder.sample_rate)
        context = self._made.codec_context
        layout = self._decoder.layout
        if not layout.nb_channels:
            raise ValueError("its sound has no channels")
        # AVI and ASF do not name the layout, and encoders need one.
        is_named = layout.channels[0].name != "NONE"
        context.layout = layout.name if is_named else _LAYOUTS[layout.nb_channels - 1]
        bits = 16 if self._decoder.format.bytes <= 2 else 32
        accepted = context.codec.audio_formats
        context.format = next((f for f in accepted if f.bits == bits), accepted[0]).name
        describe(self._made, stream)

    def packets(self, packet: Any) -> list[Any]:
        try:
            frames = self._decoder.decode(packet)
        except import_av().FFmpegError:
            frames = []
        made = [part for frame in frames for part in self._made.encode(frame)]
        return made if packet is not None else [*made, *self._made.encode(None)]
