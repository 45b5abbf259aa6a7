"""Numbers, their order as bytes, keys, sizes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.api import capacity, numbers
from cluster.api.attributes import check_item, check_value, key_of, key_of_item
from cluster.api.expressions import values
from cluster.errors import Invalid, Unreadable
from cluster.ports import ItemKey, KeyAttribute, Table

_DIGITS = st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1)
NUMBERS = st.builds(lambda digits, exponent: f"{digits}E{exponent}", _DIGITS, st.integers(min_value=-130, max_value=87))


@given(NUMBERS, NUMBERS)
def test_number_bytes_sort_as_numbers(left, right):
    """The order of the bytes is the order of the numbers, and equal numbers have equal bytes."""
    one, other = numbers.sortable(left), numbers.sortable(right)
    assert (one < other) is (Decimal(left) < Decimal(right))
    assert (one == other) is (Decimal(left) == Decimal(right))


@given(
    st.integers(min_value=-2000, max_value=2000),
    st.integers(min_value=0, max_value=3),
    st.integers(min_value=-2000, max_value=2000),
)
def test_near_number_bytes_sort_as_numbers(left, places, right):
    """Also for numbers close to each other and to zero, where signs and digits change."""
    texts = [str(Decimal(left).scaleb(-places)), str(Decimal(right).scaleb(-places))]
    one, other = (numbers.sortable(text) for text in texts)
    assert (one < other) is (left < right)
    assert (one == other) is (left == right)


@given(NUMBERS)
def test_the_normal_form_is_the_same_number(text):
    """Normalising changes no value, is idempotent, and writes no exponent."""
    normal = numbers.normal(text)
    assert Decimal(normal) == Decimal(text)
    assert numbers.normal(normal) == normal
    assert "E" not in normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [("1.0", "1"), ("-0", "0"), ("00012", "12"), ("1e2", "100"), ("+.5", "0.5"), ("5.", "5"), ("1E-130", "0." + "0" * 129 + "1"), ("0e999", "0")],
)  # fmt: skip
def test_normal_forms(text, normal):
    """One way to write each number."""
    assert numbers.normal(text) == normal


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be converted to a numeric value"),
        ("x", "cannot be converted"),
        ("1 ", "cannot be converted"),
        ("NaN", "cannot be converted"),
        ("Infinity", "cannot be converted"),
        ("1_000", "cannot be converted"),
        ("٣", "cannot be converted"),
        ("1" * 39, "more than 38 significant digits"),
        ("1e126", "Number overflow"),
        ("-1e126", "Number overflow"),
        ("1e-131", "Number underflow"),
        ("1e999999999", "Number overflow"),
        ("9" * 100_000, "cannot be converted"),
    ],
)
def test_what_is_no_number(text, complaint):
    """DynamoDB's limits, and nothing that only Python takes for a number."""
    with pytest.raises(Invalid, match=complaint):
        numbers.normal(text)


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=4),
    st.decimals(min_value=-(10**12), max_value=10**12, places=4),
)
def test_arithmetic_is_exact(left, right):
    """Sums and differences lose nothing."""
    assert Decimal(numbers.add(str(left), str(right))) == left + right
    assert Decimal(numbers.subtract(str(left), str(right))) == left - right


def test_too_precise_a_sum_is_refused():
    """A sum that needs 39 digits is no number of DynamoDB's."""
    with pytest.raises(Invalid, match="38 significant digits"):
        numbers.add("1e38", "0.1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS", "x"]), inner, max_size=2
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_value_or_refused(value):
    """Whatever stands where a value belongs is checked or refused, and checking twice changes nothing."""
    try:
        check_value(value)
    except (Invalid, Unreadable):
        return
    before = repr(value)
    check_value(value)
    assert repr(value) == before
    assert values.same(value, value)
    assert capacity.value_bytes(value) >= 0


def table(hash_type="S", range_type=None):
    sort = KeyAttribute("sk", range_type) if range_type else None
    return Table(
        name="t", id="1", hash_key=KeyAttribute("pk", hash_type), range_key=sort, partitions=(), created_at=0.0
    )


def test_keys_are_bytes():
    """S is its UTF-8, B its bytes, N its sortable form."""
    assert key_of(table(), check_item({"pk": {"S": "é"}})) == ItemKey("é".encode())
    assert key_of(table("B", "N"), check_item({"pk": {"B": "AAE="}, "sk": {"N": "1"}})) == ItemKey(
        b"\x00\x01", numbers.sortable("1")
    )
    same = [
        key_of_item(table("N"), check_item({"pk": {"N": text}, "other": {"S": "x"}})) for text in ("1", "1.00", "0.1e1")
    ]
    assert len(set(same)) == 1


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"pk": {"S": "a"}},
        {"pk": {"S": "a"}, "sk": {"N": "1"}},
        {"pk": {"S": "a"}, "sk": {"S": "b"}, "x": {"S": "c"}},
    ],
)
def test_a_key_is_exactly_the_key(key):
    """Neither less nor more, and of the right types."""
    with pytest.raises(Invalid, match="does not match the schema"):
        key_of(table("S", "S"), check_item(key))


def test_keys_have_limits():
    """2048 and 1024 bytes."""
    assert key_of(table("S", "S"), {"pk": {"S": "p" * 2048}, "sk": {"S": "s" * 1024}}).sort_key
    for key in ({"pk": {"S": "p" * 2049}, "sk": {"S": "s"}}, {"pk": {"S": "p"}, "sk": {"S": "s" * 1025}}):
        with pytest.raises(Invalid, match="maximum size limit"):
            key_of(table("S", "S"), key)


@pytest.mark.parametrize(
    ("value", "size"),
    [({"S": "abc"}, 3), ({"S": "é"}, 2), ({"N": "123"}, 3), ({"BOOL": True}, 1), ({"NULL": True}, 1), ({"B": "AAE="}, 2), ({"L": [{"S": "a"}]}, 5), ({"M": {"k": {"S": "a"}}}, 6), ({"SS": ["a", "bc"]}, 3)],
)  # fmt: skip
def test_sizes(value, size):
    """Bytes as the developer guide counts them."""
    assert capacity.value_bytes(value) == size


def test_units():
    """Reads by 4 KB, halved when eventual; writes by 1 KB of the larger item."""
    assert capacity.read_units(0, strong=True) == 1.0
    assert capacity.read_units(4097, strong=True) == 2.0
    assert capacity.read_units(4097, strong=False) == 1.0
    assert capacity.write_units(None, {"pk": {"S": "x" * 1023}}) == 2.0
    assert capacity.write_units({"p": {"S": "x" * 3000}}, None) == 3.0
