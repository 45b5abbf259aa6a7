"""The expression language: golden cases, and that no text breaks the parser."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.api.evaluation import evaluate
from cluster.api.expressions import binding
from cluster.api.expressions.keys import after_prefix, query_of
from cluster.api.expressions.projections import project
from cluster.errors import Invalid
from cluster.ports import Bounds, ConditionFailed, InvalidWrite, KeyAttribute, Table, WriteRequest

TABLE = Table(
    name="t", id="1", hash_key=KeyAttribute("pk", "S"), range_key=KeyAttribute("sk", "S"), partitions=(), created_at=0.0
)
ITEM = {
    "pk": {"S": "p"},
    "sk": {"S": "s"},
    "n": {"N": "10"},
    "s": {"S": "hello"},
    "b": {"B": "AAE="},
    "yes": {"BOOL": True},
    "none": {"NULL": True},
    "tags": {"SS": ["x", "y"]},
    "l": {"L": [{"N": "1"}, {"M": {"k": {"S": "v"}}}, {"S": "end"}]},
    "m": {"M": {"a": {"M": {"b": {"N": "5"}}}, "c": {"S": "d"}}},
    "a.b": {"S": "dotted"},
}
NAMES = {"#n": "n", "#dot": "a.b", "#c": "c"}
VALUES = {
    ":ten": {"N": "10"},
    ":nine": {"N": "9"},
    ":eleven": {"N": "11"},
    ":one": {"N": "1"},
    ":h": {"S": "he"},
    ":ll": {"S": "ll"},
    ":x": {"S": "x"},
    ":set": {"SS": ["y", "x"]},
    ":z": {"SS": ["z", "x"]},
    ":S": {"S": "S"},
    ":list": {"L": [{"S": "new"}]},
    ":map": {"M": {"k": {"S": "v"}}},
    ":true": {"BOOL": True},
    ":bin": {"B": "AA=="},
    ":v": {"S": "v"},
}


def request(**expressions):
    """A request with just the names and values that its expressions use."""
    text = " ".join(expressions.values())
    parameters = dict(expressions)
    for field, given_ones in (("ExpressionAttributeNames", NAMES), ("ExpressionAttributeValues", VALUES)):
        used = {
            k: v
            for k, v in given_ones.items()
            if k in text.replace(",", " ").replace("(", " ").replace(")", " ").replace(".", " ").split()
        }
        if used:
            parameters[field] = used
    return parameters


def holds(text, item=ITEM):
    parameters = request(ConditionExpression=text)
    bound = binding.bind(parameters, binding.CONDITION)
    return bound.condition(binding.CONDITION).holds(item, bound.scope)


def updated(text, item=ITEM):
    parameters = request(UpdateExpression=text) | {"Key": {"pk": ITEM["pk"], "sk": ITEM["sk"]}}
    binding.bind(parameters, binding.UPDATE)
    return evaluate(WriteRequest(operation="UpdateItem", parameters=parameters), TABLE, item)


def changes(text, item=ITEM):
    """Only what an update changed; None for what it removed."""
    result = updated(text, item)
    names = {*item, *result.new}
    return {n: result.new.get(n) for n in names if result.new.get(n) != item.get(n)}


def complaint(kind, text, **more):
    with pytest.raises(Invalid) as caught:
        binding.bind(request(**{kind: text}) | more, kind)
    return caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "n = :ten",
        "#n = :ten",
        "n <> :nine",
        "absent <> :nine",
        "n > :nine AND n < :eleven",
        "n >= :ten and n <= :ten",
        "n BETWEEN :nine AND :eleven",
        "n IN (:nine, :ten)",
        "n = :nine OR s <> :x AND n = :ten",
        "(n = :nine OR n = :ten) AND yes = :true",
        "NOT n = :nine",
        "NOT (n = :nine OR n = :eleven)",
        "not not n = :ten",
        "attribute_exists(m.a.b)",
        "attribute_exists(l[1].k)",
        "attribute_not_exists(l[3])",
        "attribute_not_exists(m.a.b.x)",
        "attribute_exists(#dot)",
        "attribute_not_exists(absent.x)",
        "attribute_type(s, :S)",
        "begins_with(s, :h)",
        "begins_with(b, :bin)",
        "contains(s, :ll)",
        "contains(tags, :x)",
        "contains(l, :map)",
        "tags = :set",
        "size(s) < :ten",
        "size(l) > size(tags)",
        "size(b) > :one",
        "l[1] = :map",
        "l[1].k = :v",
        "m.#c <> :x",
        "(n) = (:ten)",
        ":ten = n",
        "n > :nine AND (s = :x OR (n = :ten AND NOT yes <> :true))",
    ],
)
def test_true_conditions(text):
    """These hold for the item."""
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "absent = :ten",
        "absent > :ten",
        "n = :h",
        "s > :ten",
        "s BETWEEN :nine AND :ten",
        "absent IN (:ten)",
        "size(n) > :one",
        "size(absent) > :one",
        "begins_with(n, :h)",
        "contains(n, :one)",
        "attribute_type(n, :S)",
        "attribute_exists(m.x)",
        "l[1].k.deeper = :v",
        "n = :nine AND n = :ten OR s = :x",
    ],
)
def test_false_conditions(text):
    """These do not, whatever is absent or of another type."""
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET x = :one", {"x": {"N": "1"}}),
        ("SET n = n + :one", {"n": {"N": "11"}}),
        ("set n = :one - n", {"n": {"N": "-9"}}),
        ("SET x = if_not_exists(x, :one) + :ten", {"x": {"N": "11"}}),
        ("SET n = if_not_exists(n, :one)", {}),
        ("SET l = list_append(l, :list)", {"l": {"L": [*ITEM["l"]["L"], {"S": "new"}]}}),
        ("SET q = list_append(if_not_exists(q, :list), :list)", {"q": {"L": [{"S": "new"}, {"S": "new"}]}}),
        ("SET l[0] = :ten", {"l": {"L": [{"N": "10"}, *ITEM["l"]["L"][1:]]}}),
        ("SET l[9] = :ten, l[7] = :one", {"l": {"L": [*ITEM["l"]["L"], {"N": "1"}, {"N": "10"}]}}),
        ("SET m.a.b = :one", {"m": {"M": {"a": {"M": {"b": {"N": "1"}}}, "c": {"S": "d"}}}}),
        ("SET #dot = :x", {"a.b": {"S": "x"}}),
        ("SET n = s, s = n", {"n": {"S": "hello"}, "s": {"N": "10"}}),
        ("SET x = m REMOVE m.c", {"x": ITEM["m"], "m": {"M": {"a": {"M": {"b": {"N": "5"}}}}}}),
        ("REMOVE n, s", {"n": None, "s": None}),
        ("REMOVE l[0], l[2]", {"l": {"L": [ITEM["l"]["L"][1]]}}),
        ("REMOVE absent", {}),
        ("ADD n :one", {"n": {"N": "11"}}),
        ("ADD fresh :one", {"fresh": {"N": "1"}}),
        ("ADD tags :z", {"tags": {"SS": ["x", "y", "z"]}}),
        ("ADD fresh :z", {"fresh": {"SS": ["z", "x"]}}),
        ("DELETE tags :z", {"tags": {"SS": ["y"]}}),
        ("DELETE tags :set", {"tags": None}),
        ("DELETE absent :set", {}),
        (
            "SET x = :one REMOVE n ADD y :ten DELETE tags :z",
            {"x": {"N": "1"}, "n": None, "y": {"N": "10"}, "tags": {"SS": ["y"]}},
        ),
    ],
)
def test_updates(text, expected):
    """Each clause changes what it names, computed from the item as it was, and leaves the old item alone."""
    before = repr(ITEM)
    assert changes(text) == expected
    assert repr(ITEM) == before


def test_an_update_creates_the_item():
    """An update of nothing begins with the key."""
    result = updated("SET n = :one", None)
    assert result.old is None
    assert result.new == {"pk": {"S": "p"}, "sk": {"S": "s"}, "n": {"N": "1"}}
    assert result.updated == ("n",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET x = absent", "The provided expression refers to an attribute that does not exist in the item"),
        ("SET x = s + :one", "An operand in the update expression has an incorrect data type"),
        ("SET x = list_append(n, :list)", "An operand in the update expression has an incorrect data type"),
        ("ADD s :one", "An operand in the update expression has an incorrect data type"),
        ("DELETE n :set", "An operand in the update expression has an incorrect data type"),
        ("SET absent.x = :one", "The document path provided in the update expression is invalid for update"),
        ("SET s[0] = :one", "The document path provided in the update expression is invalid for update"),
        ("REMOVE n.x", "The document path provided in the update expression is invalid for update"),
    ],
)
def test_impossible_updates(text, expected):
    """What does not fit the item is an InvalidWrite."""
    with pytest.raises(InvalidWrite) as caught:
        updated(text)
    assert str(caught.value) == expected


def test_a_false_condition_carries_the_item():
    """The leader says what it saw."""
    parameters = request(ConditionExpression="n = :one") | {"Item": ITEM}
    with pytest.raises(ConditionFailed) as caught:
        evaluate(WriteRequest(operation="PutItem", parameters=parameters), TABLE, ITEM)
    assert caught.value.item is ITEM


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("ConditionExpression", "", "Invalid ConditionExpression: The expression can not be empty;"),
        ("ConditionExpression", "n = ", 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="'),
        (
            "ConditionExpression",
            "n = = :ten",
            'Invalid ConditionExpression: Syntax error; token: "=", near: "= = :ten"',
        ),
        ("ConditionExpression", "n ! :ten", 'Invalid ConditionExpression: Syntax error; token: "!", near: "n ! :ten"'),
        ("ConditionExpression", "n", 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "n"'),
        (
            "ConditionExpression",
            "status = :ten",
            "Invalid ConditionExpression: Attribute name is a reserved keyword; reserved keyword: status",
        ),
        (
            "ConditionExpression",
            "#q = :ten",
            "Invalid ConditionExpression: An expression attribute name used in the document path is not defined; attribute name: #q",
        ),
        (
            "ConditionExpression",
            "n = :q",
            "Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :q",
        ),
        (
            "ConditionExpression",
            "((n = :ten))",
            "Invalid ConditionExpression: The expression has redundant parentheses;",
        ),
        ("ConditionExpression", "exists(n)", "Invalid ConditionExpression: Invalid function name; function: exists"),
        (
            "ConditionExpression",
            "size(n)",
            "Invalid ConditionExpression: The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "ConditionExpression",
            "contains(n)",
            "Invalid ConditionExpression: Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1",
        ),
        (
            "ConditionExpression",
            "begins_with(s, :ten)",
            "Invalid ConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "ConditionExpression",
            "n < :true",
            "Invalid ConditionExpression: Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
        (
            "ConditionExpression",
            "attribute_type(n, :x)",
            "Invalid ConditionExpression: Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "ConditionExpression",
            "n = n",
            "Invalid ConditionExpression: The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [n]",
        ),
        (
            "ConditionExpression",
            "n BETWEEN :ten AND :nine",
            "Invalid ConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:10}, upper bound operand: AttributeValue: {N:9}",
        ),
        (
            "UpdateExpression",
            "SET a = :one SET c = :ten",
            'Invalid UpdateExpression: The "SET" section can only be used once in an update expression;',
        ),
        (
            "UpdateExpression",
            "SET m.x = :one, m = :ten",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, x]",
        ),
        (
            "UpdateExpression",
            "SET m.x = :one, m[0] = :ten",
            "Invalid UpdateExpression: Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m, [0]]",
        ),
        (
            "UpdateExpression",
            "ADD n :true",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: BOOL, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
        (
            "UpdateExpression",
            "SET n = :true + :one",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: +, operand type: BOOL",
        ),
        ("UpdateExpression", "FROB n", 'Invalid UpdateExpression: Syntax error; token: "FROB", near: "FROB n"'),
        (
            "ProjectionExpression",
            "m, m.x",
            "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, x]",
        ),
    ],
)
def test_complaints(kind, text, expected):
    """DynamoDB's own words for what is wrong with an expression."""
    assert complaint(kind, text) == expected


def test_names_and_values_must_be_used_and_well_formed():
    """Spare, empty and misnamed placeholders are refused."""
    used = complaint(
        "ConditionExpression", "n = :ten", ExpressionAttributeValues={":ten": {"N": "1"}, ":spare": {"N": "1"}}
    )
    assert used == "Value provided in ExpressionAttributeValues unused in expressions: keys: {:spare}"
    assert (
        complaint("ConditionExpression", "n = :ten", ExpressionAttributeNames={})
        == "ExpressionAttributeNames must not be empty"
    )
    bad = complaint("ConditionExpression", "n = :ten", ExpressionAttributeNames={"n": "n"})
    assert bad == 'ExpressionAttributeNames contains invalid key: Syntax error; key: "n"'
    with pytest.raises(Invalid, match="can only be specified when using expressions: ConditionExpression is null"):
        binding.bind({"ExpressionAttributeValues": {":v": {"S": "x"}}}, binding.CONDITION)
    wrong = complaint("ConditionExpression", "n = :ten", ExpressionAttributeValues={":ten": {"N": "x"}})
    assert wrong.startswith("ExpressionAttributeValues contains invalid value: The parameter cannot be converted")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n", {"n": ITEM["n"]}),
        ("l[2], l[0]", {"l": {"L": [{"N": "1"}, {"S": "end"}]}}),
        ("m.a.b, m.#c", {"m": ITEM["m"]}),
        ("l[1].k, absent, m.x", {"l": {"L": [{"M": {"k": {"S": "v"}}}]}}),
        ("#dot", {"a.b": {"S": "dotted"}}),
        ("n.x, s[0]", {}),
    ],
)
def test_projections(text, expected):
    """Only what is named is shown, at its place."""
    assert project(ITEM, binding.bind(request(ProjectionExpression=text), binding.PROJECTION).projection) == expected


def keyed(text, table=TABLE, **values):
    parameters = {"KeyConditionExpression": text, "ExpressionAttributeValues": {f":{k}": v for k, v in values.items()}}
    bound = binding.bind(parameters, binding.KEY_CONDITION)
    return query_of(bound.condition(binding.KEY_CONDITION), bound.scope, table)


def test_key_conditions_become_bounds():
    """The partition key's bytes and the sort key's bounds."""
    p, a, b = {"S": "p"}, {"S": "a"}, {"S": "b"}
    assert keyed("pk = :p", p=p) == (b"p", Bounds())
    assert keyed("sk >= :a AND :p = pk", p=p, a=a) == (b"p", Bounds(lower=b"a"))
    assert keyed("pk = :p AND sk < :a", p=p, a=a) == (b"p", Bounds(upper=b"a", upper_inclusive=False))
    assert keyed("(pk = :p) AND (sk BETWEEN :a AND :b)", p=p, a=a, b=b) == (b"p", Bounds(lower=b"a", upper=b"b"))
    begins = Bounds(lower=b"a", upper=b"b", upper_inclusive=False)
    assert keyed("pk = :p AND begins_with(sk, :a)", p=p, a=a) == (b"p", begins)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sk = :p", "Query condition missed key schema element: pk"),
        ("pk > :p", "Query key condition not supported"),
        ("pk = :p AND another = :q", "Query key condition not supported"),
        ("pk = :p AND pk = :q", "KeyConditionExpressions must only contain one condition per key"),
        ("pk = :p OR sk = :q", "Invalid operator used in KeyConditionExpression: OR"),
        ("pk = :p AND contains(sk, :q)", "Invalid operator used in KeyConditionExpression: contains"),
        ("pk = :p AND sk.x = :q", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("pk = :p AND sk <> :q", "Invalid operator used in KeyConditionExpression: <>"),
        (
            "pk = :p AND sk = :n",
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
    ],
)
def test_key_conditions_that_cannot_be(text, expected):
    """A query needs one partition key and at most one range of sort keys."""
    values = {"p": {"S": "p"}, "q": {"S": "q"}, "n": {"N": "1"}}
    used = {k: v for k, v in values.items() if f":{k}" in text}
    with pytest.raises(Invalid) as caught:
        keyed(text, **used)
    assert caught.value.message == expected


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=6))
def test_the_end_of_a_prefix(prefix, other):
    """Exactly the bytes that begin with a prefix lie between it and the end of the prefix."""
    end = after_prefix(prefix)
    assert (prefix <= other and (end is None or other < end)) is other.startswith(prefix)


_WORDS = st.sampled_from(
    [
        *("a", "b[0]", "c.d", "#n", ":v", "(", ")", "(", ")", "=", "<>", "<", "AND", "OR", "NOT", "BETWEEN", "IN"),
        *(",", "+", "-", "SET", "REMOVE", "ADD", "DELETE", "size(", "contains(", "if_not_exists(", "list_append("),
        *("attribute_exists(", "[", ".", "status", "7", "é", "\x00", "\\", '"'),
    ]
)


@settings(max_examples=400)
@given(
    st.sampled_from(["ConditionExpression", "UpdateExpression", "ProjectionExpression"]), st.lists(_WORDS, max_size=40)
)
@example("ConditionExpression", ["("] * 2000)
@example("ConditionExpression", ["NOT"] * 1000)
@example("UpdateExpression", ["SET a ="] + ["("] * 2000)
@example("ConditionExpression", ["a = :v AND"] * 350 + ["a = :v"])
@example("ProjectionExpression", ["a" + "[0]" * 900])
def test_no_text_breaks_the_parser(kind, words):
    """Any text is either parsed or refused, never anything else, however deep or long."""
    try:
        binding.parse(kind, " ".join(words))
    except Invalid as error:
        assert error.message.startswith(f"Invalid {kind}: ")  # noqa: PT017  # parsing is as good an outcome


@given(st.integers(min_value=1, max_value=12))
def test_depth_is_limited(depth):
    """Nesting is allowed up to the limit."""
    text = "NOT (" * depth + "a = :v" + ")" * depth
    assert binding.parse("ConditionExpression", text).values == {":v"}
    with pytest.raises(Invalid, match="nesting"):
        binding.parse("ConditionExpression", "NOT (" * 40 + "a = :v" + ")" * 40)
