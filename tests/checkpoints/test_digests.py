"""Digests carry the name of their algorithm, and those of earlier versions are understood."""

from __future__ import annotations

import hashlib
import json

import pytest
import xxhash

from lrpdyn.checkpoints.digests import Hash, algorithm_of, as_sha256, named, recorded
from lrpdyn.files.json_data import LARGE


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("xxh3_128", xxhash.xxh3_128_hexdigest(b"weights")),
        ("sha256", hashlib.sha256(b"weights").hexdigest()),
    ],
)
def test_a_digest_is_that_of_its_library(algorithm: str, expected: str) -> None:
    found = Hash(algorithm)
    found.update(b"wei")
    found.update(b"ghts")
    assert found.digest() == named(expected, algorithm)
    assert algorithm_of(found.digest()) == algorithm
    assert as_sha256(found.digest()) == (expected if algorithm == "sha256" else None)


def test_a_record_of_an_earlier_version_has_sha256() -> None:
    assert recorded({"sha256": "ab"}) == "sha256-ab"
    assert recorded({"digest": "xxh3_128-cd", "sha256": None}) == "xxh3_128-cd"
    assert recorded({"digest": None, "sha256": None}) is None
    assert recorded({}) is None
    assert [algorithm_of(text) for text in ("md5-ab", "sha256", "")] == [None, "sha256", None]


@pytest.mark.parametrize("algorithm", ["xxh3_128", "sha256"])
def test_no_digest_reads_as_a_number_that_no_float_holds(algorithm: str) -> None:
    # A line of the journal with such a number is damaged.
    line = json.dumps({"digest": named("12e4567", algorithm)}, separators=(",", ":"))
    assert not LARGE.search(line.encode())
