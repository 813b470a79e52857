"""Text ids become numbers that no list of ids undoes, the same in Python and in SQL."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import TESTS_KEY, memory_warehouse
from uplift_core.errors import UpliftError
from uplift_core.experiment.user_ids import IdKey, number_of_text

OTHER_KEY = IdKey(bytes(range(32)))
DB = memory_warehouse()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_sql_and_python_hash_alike(text: str) -> None:
    assert DB.one("select raw.keyed_id($text)", {"text": text}) == (TESTS_KEY.number(text),)


def test_a_number_is_63_bits_of_hmac_sha256() -> None:
    digest = hmac.new(OTHER_KEY.secret, b"a@example.org", hashlib.sha256).hexdigest()
    assert OTHER_KEY.number("a@example.org") == int(digest[:16], 16) // 2


def test_without_the_key_a_list_of_addresses_tells_nobody() -> None:
    addresses = [f"user{i}@example.org" for i in range(1_000)]
    numbers = {TESTS_KEY.number(address) for address in addresses}
    assert len(numbers) == len(addresses)
    assert not numbers & {number_of_text(address) for address in addresses}
    assert not numbers & {OTHER_KEY.number(address) for address in addresses}
    assert TESTS_KEY.secret.hex() not in repr(TESTS_KEY)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(UpliftError, match="32 bytes, and not 3"):
        IdKey(b"abc")
