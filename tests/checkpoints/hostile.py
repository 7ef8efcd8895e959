"""Small files that cost much to whoever follows, hashes, copies or prints what they hold."""

from __future__ import annotations

import io
import json
import struct
import zipfile

START = b"\x80\x02"


def nested(opcode: bytes = b"\x86", levels: int = 60, leaf: bytes = b"N") -> bytes:
    """Return instructions that push a pair of twice the same pair, `levels` deep."""
    return leaf + b"".join(b"q%ch%c" % (n, n) + opcode for n in range(levels))


def lists(levels: int = 60) -> bytes:
    """Return instructions that push a list that holds twice the same list, `levels` deep."""
    return b"]" + b"".join(b"q%c](h%ch%ce" % (n, n, n) for n in range(levels))


def text(size: int) -> bytes:
    return b"X" + struct.pack("<I", size) + b"a" * size


def called(name: str, args: bytes) -> bytes:
    module, _, attribute = name.rpartition(".")
    return b"c%s\n%s\n" % (module.encode(), attribute.encode()) + args + b"R"


def storage(key: bytes, kind: bytes = b"ctorch\nFloatStorage\n", count: bytes = b"K\x04") -> bytes:
    return b"(X\x07\0\0\0storage" + kind + key + text(3) + count + b"tQ"


def tensor(shape: bytes, stride: bytes = b"K\x01\x85", of: bytes | None = None) -> bytes:
    held = of or storage(b"X\x01\0\0\x000")
    return called(
        "torch._utils._rebuild_tensor_v2", b"(" + held + b"K\0" + shape + stride + b"\x89}t"
    )


#: Whole pickles, by what is wrong with them.
PICKLES: dict[str, bytes] = {
    "a storage whose key is shared pairs": START + storage(nested()) + b".",
    "a storage whose class is shared pairs": START + storage(b"K\0", nested()) + b".",
    "a key of shared pairs": START + b"}" + nested() + b"Ns.",
    "keys of shared pairs": START + b"}(" + nested() + b"Nu.",
    "keys of shared pairs, DICT": b"(" + nested() + b"Nd.",
    "a key as deep as it is long": START + b"}N" + b"\x85" * 200_000 + b"Ns.",
    "shared pairs in a mapping's pairs": START
    + called("collections.OrderedDict", b"](" + nested() + b"N\x86e\x85") + b".",
    "shared pairs in a set": START + called("builtins.set", b"]" + nested() + b"a\x85") + b".",
    "shared pairs in a frozen set": b"\x80\x04(" + nested() + b"\x91.",
    "shared pairs added to a set": b"\x80\x04\x8f(" + nested() + b"\x90.",
    "shared pairs that are counted": START
    + called("collections.Counter", b"]" + nested() + b"a\x85") + b".",
    "shared pairs that name a layout": START
    + called("torch.serialization._get_layout", nested() + b"\x85") + b".",
    "lists of twice the same list": START + lists() + b".",
    "mappings of twice the same": START + b"}" + b"".join(
        b"q%c}(K\0h%cK\x01h%cu" % (n, n, n) for n in range(60)) + b".",
    "objects made of twice the same": START + b"N" + b"".join(
        b"q%c0cargparse\nNamespace\nh%ch%c\x86R" % (n, n, n) for n in range(60)) + b".",
    "an object whose state is shared": START + b"cargparse\nNamespace\n)R" + nested() + b"b.",
    "twice the same by DUP": START + b"N" + b"2\x86" * 300 + b".",
    "the same by MEMOIZE": b"\x80\x04N" + b"".join(b"\x94h%c\x86" % n for n in range(60)) + b".",
    "the same by LONG_BINGET": START + b"N" + b"".join(
        b"r\1\1\0\0j\1\1\0\0\x86" for _ in range(60)) + b".",
    "a mapping made of one large thing, often": START + text(500_000) + b"q\0](h\0h\0eq\x01("
    + b"h\x01" * 3000 + b"l0" + called("collections.OrderedDict", b"](" + b"h\0" * 3000 + b"e\x85") + b".",
    "large pairs, often": START + b"](" + b"K\1" * 100_000 + b"eq\0"
    + called("collections.OrderedDict", b"](" + b"h\0" * 3000 + b"e\x85") + b".",
    "copies of a large mapping": START + called("collections.OrderedDict", b")") + b"q\0](K\0K\1"
    + b"e" + b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(30_000)) + b"uq\1"
    + b"0" + b"ccollections\nOrderedDict\nq\x020" + b"h\2h\1\x85R0" * 30_000 + b".",
    "copies of a large mapping, as state": START + b"}(" + b"".join(
        b"X\5\0\0\0%05dN" % n for n in range(30_000)) + b"uq\1"
    + called("collections.OrderedDict", b")") + b"h\1b" * 30_000 + b".",
    "a long text as a shape": START + tensor(text(1_000_000)) + b".",
    "a long text as a size": START + called("torch.Size", text(1_000_000) + b"\x85") + b".",
    "a tensor of no bytes": START + called("torch.Tensor", b"J\xff\xff\xff\x7f\x85") + b".",
    "a storage of no bytes": START + called("torch.FloatStorage", b"J\xff\xff\xff\x7f\x85") + b".",
    "zeros as bytes": START + called("builtins.bytearray", b"J\xff\xff\xff\x7f\x85") + b".",
    "a number of a million bits as a size": START
    + tensor(b"\x8b" + struct.pack("<I", 125_000) + b"\x7f" * 125_000 + b"\x85") + b".",
    "a number of a million bits as a key": START + b"}\x8b" + struct.pack("<I", 125_000)
    + b"\x7f" * 125_000 + b"q\0" + b"Nsh\0" * 2000 + b"Ns.",
    "a length that is not there": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"\x8d"
    + struct.pack("<Q", 1 << 40) + b".",
    "a text that escapes": b"S'" + b"\\x" * 1000 + b"'\n.",
    "a name without end": b"\x80\x04" + text(1_000_000) + text(3) + b"\x93.",
    "marks without end": START + b"(" * 100_000 + b"1" * 100_001 + b".",
}  # fmt: skip


def pickled_in_zip(payload: bytes) -> bytes:
    """Return a zip as torch.save writes it, with a storage of 16 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", payload)
        archive.writestr("a/data/0", bytes(16))
    return buffer.getvalue()


def safetensors(header: str, data: int = 64) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + bytes(data)


def _entry(shape: list[int], begin: int, end: int) -> str:
    return json.dumps({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]})


#: Files of safetensors, by what is wrong with them.
SAFETENSORS: dict[str, bytes] = {
    "overlap": safetensors(
        "{" + ",".join(f'"k{n}": {_entry([1 << 18], 0, 1 << 20)}' for n in range(400)) + "}", 1 << 20
    ),
    "overlap: in part": safetensors(f'{{"a": {_entry([8], 0, 32)}, "b": {_entry([8], 16, 48)}}}', 48),
    "leave gaps": safetensors(f'{{"a": {_entry([8], 0, 32)}, "b": {_entry([4], 48, 64)}}}'),
    "header is damaged: a key twice": safetensors(
        f'{{"a": {_entry([8], 0, 32)}, "a": {_entry([8], 32, 64)}}}'
    ),
    "header is damaged: a shape that overflows": safetensors(
        f'{{"a": {_entry([0, 2**61, 2**61], 0, 0)}}}', 0
    ),
    "header is damaged: a product that wraps": safetensors(f'{{"a": {_entry([2**32, 2**32], 0, 0)}}}', 0),
    "header is damaged: a number without end": safetensors('{"a": ' + "9" * 5000 + "}"),
    "header is damaged: brackets": safetensors('{"a": ' + "[" * 100_000),
}  # fmt: skip
