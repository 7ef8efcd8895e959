"""What a file is that is no checkpoint, by its first bytes, and what to do about it."""

from __future__ import annotations

from collections.abc import Container

from lrpdyn.checkpoints.containers import COPY_AGAIN

_CONVERT = "only PyTorch's weights can be explained: save them as a state_dict"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/",
     "is a Git LFS pointer, not the file itself; fetch it with git lfs pull"),
    (b"\x89HDF\r\n\x1a\n", f"is HDF5, as Keras writes; {_CONVERT}"),
    (b"\x93NUMPY", "is a NumPy array, not a checkpoint; give it as an observation"),
    (b"\x89PNG", "is a picture; give it as an observation"),
    (b"\xff\xd8\xff", "is a picture; give it as an observation"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it"),
    (b"\xfd7zXZ\x00", "is compressed with xz; unpack it"),
    (b"BZh", "is compressed with bzip2; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it"),
    (b"Rar!", "is a RAR archive; unpack it"),
    (b"GGUF", f"is GGUF; {_CONVERT}"),
)  # fmt: skip
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def kind_of_file(head: bytes, name: str) -> str | None:
    """Return what a file is that begins with `head`, and what to do, or None if it is not known."""
    if not head.strip(b"\0"):
        return f"begins with nothing but zeros: its writing was cut off; {COPY_AGAIN}"
    for beginning, meaning in _BEGINNINGS:
        if head.startswith(beginning):
            return meaning
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGES):
        return (
            "is an HTML page: a download gone wrong, or one that needs a login; download it again"
        )
    if head[257:262] == b"ustar":
        return "is a tar archive (torch before 0.1.10 wrote some); unpack it, or save it again"
    if _is_flax(head):
        return f"is msgpack, as JAX and flax write (CleanRL's JAX scripts too); {_CONVERT}"
    if ".data-0000" in name or name.endswith((".index", ".meta")) or b"\x57\xfb\x80\x8b" in head:
        return f"is part of a TensorFlow checkpoint; {_CONVERT}"
    if head[:1] == b"\x08" and (b"pytorch" in head or name.endswith(".onnx")):
        return f"is ONNX; {_CONVERT}"
    if _is_text(head):
        return "is a text file"
    return None


def kind_of_archive(members: Container[str]) -> str | None:
    """Return what a zip with these members is, and what to do, or None if it is not known."""
    if "parameters" in members and "parameter_list" in members:
        return (
            "is of Stable-Baselines 2, which is TensorFlow; train it again with Stable-Baselines3, "
            f"or {_CONVERT}"
        )
    if "model.weights.h5" in members:
        return f"is a Keras archive; {_CONVERT}"
    if "manifest.json" in members:
        return "is an archive that seems to be TorchRL's; unpack it into a folder of its name"
    if "policy.pth" in members:
        return "is a zip of Stable-Baselines3 without its member data; save it again"
    return None


def kind_of_folder(names: Container[str]) -> str | None:
    """Return what a folder that holds `names` is, or None if it is not known."""
    if "saved_model.pb" in names or "keras_metadata.pb" in names:
        return f"is a TensorFlow SavedModel; {_CONVERT}"
    if "_CHECKPOINT_METADATA" in names or "_METADATA" in names:
        return f"is an Orbax checkpoint (JAX); {_CONVERT}"
    return None


def _is_flax(head: bytes) -> bool:
    """A msgpack map (0x81-0x8f, 0xde) whose first key is a short text (0xa1-0xbf)."""
    if not head:
        return False
    short, long = 0x81 <= head[0] <= 0x8F, head[0] == 0xDE
    key = head[1:2] if short else head[3:4]
    return (short or long) and bool(key) and 0xA1 <= key[0] <= 0xBF


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return all(char.isprintable() or char in "\t\r\n\f" for char in text)
