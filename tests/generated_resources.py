"""Resources made from the committed schemas: such as these accept, and the same with faults."""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

Schema = Mapping[str, Any]
Spec = dict[str, Any]
Steps = tuple[str | int, ...]

CRDS = Path(__file__).resolve().parents[1] / "manifests" / "crds"
FILES = {"Order": "orders.yaml", "StockItem": "stockitems.yaml", "OrderClass": "orderclasses.yaml"}
CLASSES = ("standard", "threshold", "durable-stock", "scenario-demo")
"""That are there, so that not every order waits for a class."""
MOST_ENTRIES = 4
SHORT_LIST = 20
"""Lists that may have so many entries are filled now and then, of longer ones `MOST_ENTRIES` are drawn."""
MAX_NAMES = 400
MAX_MINOR = 9_007_199_254_740_991

STRANGE_TEXTS = (
    "𠮷野 太郎 😀",
    "line\u2028separator",
    "\u202egnirts ehT",
    "شارع الملك 12",
    "e\u0301\u0301\u0301",
    "👩‍👩‍👧‍👦",
    "\ufeffbyte order",
    "next\u0085line",
    "\ufffe\uffff",
    "'; DROP TABLE orders; --",
    "{{.Values}} ${HOME} %s %n",
    '"\\u0000"',
    "😀" * 100,
)
"""Of the text that a person may write, what programs stumble over."""
STRANGE_CHARACTERS = ("\0", "a\0b", "\n", "\r\n", "\x1b[31m", "\x7f", "😀", "\u2028", "\u202e", "\u3000", " ", "é", "@")
INSTANTS = (
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.123456789+14:00",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "2016-12-31T23:59:60Z",
)
"""Python knows neither the year 0 nor a leap second."""
WRONG_TYPES: tuple[Any, ...] = ("seven", 7, 7.5, True, [], ["x"], {}, {"x": 1}, None)


@cache
def schema_of(kind: str, part: str = "spec") -> Schema:
    """The structural schema of `spec` or `status`."""
    definition = yaml.safe_load((CRDS / FILES[kind]).read_text())
    schema: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return _with_rules_where_they_hold(schema)


def _with_rules_where_they_hold(schema: Any) -> Any:
    """A rule of an object about the look of one of its fields stands at the field as well."""
    if isinstance(schema, list):
        return [_with_rules_where_they_hold(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: _with_rules_where_they_hold(item) for name, item in schema.items()}
    for each in known.get("x-kubernetes-validations", ()):
        name = each.get("fieldPath", "").removeprefix(".")
        if f"self.{name}.matches(" in each["rule"]:
            rule = {**each, "rule": each["rule"].replace(f"self.{name}", "self")}
            known["properties"][name].setdefault("x-kubernetes-validations", []).append(rule)
    return known


# What the schemas accept.


def valid(kind: str) -> st.SearchStrategy[Spec]:
    """Specs that the API server accepts. Of an OrderClass only the structure is looked after, not the rules."""
    keep = {"Order": _order_that_keeps_the_rules, "StockItem": _stock_item_that_keeps_the_rules}
    specs = _value(schema_of(kind))
    if kind == "Order":
        return st.builds(keep[kind], specs, st.sampled_from((*CLASSES, "", "as drawn")))
    return specs.map(keep.get(kind, lambda spec: spec))


def statuses(kind: str) -> st.SearchStrategy[Spec]:
    """What whoever may write a status, a restore say, may write into it."""
    return _value(schema_of(kind, "status"))


def _value(schema: Schema) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            return _mapping(schema) if "additionalProperties" in schema else _object(schema)
        case "array":
            keys = schema.get("x-kubernetes-list-map-keys")
            unique: Callable[[Any], Any] | None = (lambda item: tuple(item[key] for key in keys)) if keys else None
            most = schema["maxItems"] if schema["maxItems"] <= SHORT_LIST else MOST_ENTRIES
            return st.lists(
                _value(schema["items"]), min_size=schema.get("minItems", 0), max_size=most, unique_by=unique
            )
        case "integer":
            least, most = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
            return st.sampled_from((least, most)) | st.integers(least, most)
        case "boolean":
            return st.booleans()
        case "string":
            return _text(schema)
    raise AssertionError(schema)


def _object(schema: Schema) -> st.SearchStrategy[Spec]:
    fields = {name: _value(field) for name, field in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


def _mapping(schema: Schema) -> st.SearchStrategy[Spec]:
    rule = schema["x-kubernetes-validations"][0]["rule"]
    keys = ast.literal_eval(rule[rule.index("[") : rule.index("]") + 1])
    return st.dictionaries(st.sampled_from(keys), _value(schema["additionalProperties"]), max_size=2)


def _text(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.sampled_from(INSTANTS)
    least, most = schema.get("minLength", 0), schema["maxLength"]
    chosen = _chosen_from(schema)
    if chosen:
        return st.sampled_from(chosen)

    def fits(text: str) -> bool:
        return least <= len(text) <= most and _keeps_rules_of_text(schema, text)

    whole = [pattern for pattern in _patterns(schema) if pattern.pattern.startswith("^")]
    ways = [st.from_regex(pattern).filter(fits) for pattern in whole]
    if not whole:
        characters = st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" '-")
        ways = [st.text(characters, min_size=least, max_size=min(most, 50)).filter(fits)]
    edges = [text for text in (*STRANGE_TEXTS, "A" * most, "A" * least) if fits(text)]
    if edges:
        ways.append(st.sampled_from(edges))
    return st.one_of(ways)


_MATCHES = re.compile(r"(!?)self\.matches\(r'(.*?)'\)")


def _patterns(schema: Schema) -> list[re.Pattern[str]]:
    """What a string has to match: `pattern`, and `matches` of its rules."""
    wanted = [schema["pattern"]] if "pattern" in schema else []
    found = [pattern for rule in _rules(schema) for no, pattern in _MATCHES.findall(rule) if not no]
    return [_compiled(pattern) for pattern in (*wanted, *found)]


def _keeps_rules_of_text(schema: Schema, text: str) -> bool:
    if "pattern" in schema and not _compiled(schema["pattern"]).search(text):
        return False
    chosen = _chosen_from(schema)
    if chosen:
        return text in chosen
    return all(_keeps_rule_of_text(rule, text) for rule in _rules(schema))


def _keeps_rule_of_text(rule: str, text: str) -> bool:
    """Stricter than the rule about card numbers, which looks at the sum of the digits too."""
    if rule.startswith("self == ''") and not text:
        return True
    return all(bool(_compiled(pattern).search(text)) is not bool(no) for no, pattern in _MATCHES.findall(rule))


def _chosen_from(schema: Schema) -> list[str]:
    """What a rule lists: `self in [...]`, without what another rule forbids."""
    return _chosen(tuple(_rules(schema)))


@cache
def _chosen(rules: tuple[str, ...]) -> list[str]:
    listed = [ast.literal_eval(rule.removeprefix("self in ")) for rule in rules if rule.startswith("self in ")]
    forbidden = {rule.removeprefix("self != ").strip("'") for rule in rules if rule.startswith("self != ")}
    return [value for value in listed[0] if value not in forbidden] if listed else []


def _rules(schema: Schema) -> list[str]:
    rules = [each["rule"] for each in schema.get("x-kubernetes-validations", ())]
    return [rule for rule in rules if "oldSelf" not in rule]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """As Python reads it: the API server's `$` is no end before a line break, and its `\\x{2028}` has another form."""
    text = re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{found[1]:0>8}", pattern)
    return re.compile(text.replace("$", r"\Z"))


def _order_that_keeps_the_rules(spec: Spec, class_name: str) -> Spec:
    if class_name != "as drawn":
        spec.pop("className", None)
        spec |= {"className": class_name} if class_name else {}
    for charge in spec.get("charges", ()):
        amount = abs(charge["amountMinor"])
        charge["amountMinor"] = -max(amount, 1) if charge["kind"] == "Discount" else amount
    if not 0 <= total_of(spec) <= MAX_MINOR:
        del spec["charges"]
    names = ("requestedBy", "editedBy")
    of_acts = sum(len(spec.get(act, {}).get("by", "")) for act in ("approval", "cancellation"))
    if of_acts + sum(len(spec.get(name, "")) for name in names) > MAX_NAMES:
        spec = {key: value for key, value in spec.items() if key not in (*names, "cancellation")}
    for stated in (spec, spec.get("approval", {})):
        if "totalMinor" in stated:
            stated["totalMinor"] = total_of(spec)
    return spec


def total_of(spec: Spec) -> int:
    """Of lines and charges, in minor units."""
    lines = sum(line["quantity"] * line["unitPriceMinor"] for line in spec["lines"])
    return lines + sum(charge["amountMinor"] for charge in spec.get("charges", ()))


def _stock_item_that_keeps_the_rules(spec: Spec) -> Spec:
    spec["minimum"], spec["target"] = sorted((spec["minimum"], spec["target"]))
    return spec


# Faults.


@dataclass(frozen=True)
class Fault:
    """Something that a spec should not have."""

    what: str
    at: Steps
    """Where, below the spec."""
    put: Any = None
    """What stands there with the fault."""
    taken: bool = False
    """Nothing stands there."""
    legal: bool = False
    """It is only near a limit; whether a rule is broken hangs on the rest."""

    @property
    def may_pass(self) -> bool:
        """Whether the API server may let it through: it drops a null where a field is optional."""
        return self.legal or (self.put is None and not self.taken)

    def of(self, spec: Spec) -> Spec:
        """A copy of the spec with the fault."""
        broken = copy.deepcopy(spec)
        place: Any = broken
        for step in self.at[:-1]:
            place = place[step]
        if self.taken:
            del place[self.at[-1]]
        elif isinstance(place, list) and self.at[-1] == len(place):
            place.append(copy.deepcopy(self.put))
        else:
            place[self.at[-1]] = copy.deepcopy(self.put)
        return broken

    def __str__(self) -> str:
        shown = "" if self.taken else f" ({self.put!r:.60})"
        return f"{'.'.join(map(str, self.at))}: {self.what}{shown}"


@dataclass(frozen=True)
class Faulty:
    """A spec and what is wrong with it."""

    spec: Spec
    faults: tuple[Fault, ...]


@st.composite
def faulty(draw: st.DrawFn, kind: str, *, most: int = 1) -> Faulty:
    """Specs with one fault, or with up to `most`."""
    spec = draw(valid(kind))
    found: list[Fault] = []
    for _ in range(draw(st.integers(1, most))):
        fault = draw(st.sampled_from(list(faults(kind, spec))))
        spec, found = fault.of(spec), [*found, fault]
    return Faulty(spec, tuple(found))


def faults(kind: str, spec: Spec) -> Iterator[Fault]:
    """Every fault that this spec could have."""
    yield from _structural(schema_of(kind), spec, ())
    yield from _BROKEN_RULES.get(kind, lambda _: iter(()))(spec)


def _structural(schema: Schema, value: Any, at: Steps) -> Iterator[Fault]:
    if at:
        yield from (Fault("wrong type", at, wrong) for wrong in WRONG_TYPES if _type(wrong) != schema["type"])
    if _type(value) != schema["type"]:
        return
    if "enum" in schema:
        yield from (Fault("unknown value", at, wrong) for wrong in ("Nonsense", "", "😀"))
    elif schema["type"] == "string":
        yield from _faults_of_text(schema, value, at)
    elif schema["type"] == "integer":
        limits = {"below the minimum": schema.get("minimum", 0) - 1, "above the maximum": schema["maximum"] + 1}
        beyond = {"half a piece": 1.5, "beyond every integer": 10**30, "a number as text": "1"}
        yield from (Fault(what, at, wrong) for what, wrong in (limits | beyond).items())
    elif schema["type"] == "array":
        yield from _faults_of_list(schema, value, at)
    elif "properties" in schema:
        yield Fault("unknown field", (*at, "unknown😀"), {"deep": ["x"]})
        yield from (Fault("missing", (*at, name), taken=True) for name in schema.get("required", ()) if name in value)
        for name, field in schema["properties"].items():
            if name in value:
                yield from _structural(field, value[name], (*at, name))


def _faults_of_text(schema: Schema, value: str, at: Steps) -> Iterator[Fault]:
    yield Fault("too long", at, (value or "A") * (schema["maxLength"] + 1))
    yield Fault("far too long", at, "A" * 300_000)
    if schema.get("minLength"):
        yield Fault("empty", at, "")
    for character in STRANGE_CHARACTERS:
        for text in (character, f"A{character}", f"{character}A"):
            if not _keeps_rules_of_text(schema, text):
                yield Fault("strange character", at, text)


def _faults_of_list(schema: Schema, value: list[Any], at: Steps) -> Iterator[Fault]:
    if schema.get("minItems"):
        yield Fault("too few", at, [])
    if value:
        yield Fault("too many", at, value * (schema["maxItems"] // len(value) + 1))
        if "x-kubernetes-list-map-keys" in schema:
            yield Fault("twice", (*at, len(value)), value[0])
    for number, item in enumerate(value[:MOST_ENTRIES]):
        yield from _structural(schema["items"], item, (*at, number))


def _broken_rules_of_an_order(spec: Spec) -> Iterator[Fault]:
    if flaws(schema_of("Order"), spec):
        return  # there may be nothing to sum
    total, lines = total_of(spec), spec["lines"]
    yield Fault("not the sum", ("totalMinor",), total + 1)
    if "approval" in spec:
        yield Fault("another total", ("approval", "totalMinor"), total + 1)
    dear = {**lines[0], "quantity": 1_000_000, "unitPriceMinor": 1_000_000_000}
    yield Fault("too dear", ("lines",), [{**dear, "lineID": str(number)} for number in range(10)])
    wordy = [{**lines[0], "lineID": str(number), "description": "x" * 100} for number in range(200)]
    yield Fault("many words", ("lines",), wordy, legal=True)
    charge = {"chargeID": "c", "kind": "Discount", "amountMinor": -1}
    yield Fault("more discount than lines", ("charges",), [{**charge, "amountMinor": -1_000_000_000_000_000}])
    yield Fault("a discount above zero", ("charges",), [{**charge, "amountMinor": 1}])
    yield Fault("a fee below zero", ("charges",), [{**charge, "kind": "Fee"}])
    yield Fault("a card number", ("payment", "method"), "4242_4242_4242_4242")
    for code in ("UK", "EL", "XX", "us"):
        yield Fault("no country", ("shippingAddress", "country"), code)


def _broken_rules_of_a_stock_item(spec: Spec) -> Iterator[Fault]:
    if isinstance(spec.get("target"), int):
        yield Fault("more than the target", ("minimum",), spec["target"] + 1)


_BROKEN_RULES = {"Order": _broken_rules_of_an_order, "StockItem": _broken_rules_of_a_stock_item}


# What a structural schema says of a value.


def flaws(schema: Schema, value: Any, path: str = "spec") -> list[str]:
    """Where the value breaks the structure; CEL rules are not looked at."""
    if _type(value) != schema["type"]:
        return [path]
    found = [] if _is_within(schema, value) else [path]
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += flaws(schema["items"], item, f"{path}[{number}]")
    elif "properties" in schema:
        found += [f"{path}.{name}" for name in schema.get("required", ()) if name not in value]
        found += [f"{path}.{name}" for name in value if name not in schema["properties"]]
        for name in value.keys() & schema["properties"].keys():
            found += flaws(schema["properties"][name], value[name], f"{path}.{name}")
    return found


def _is_within(schema: Schema, value: Any) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return fits and _keeps_rules_of_text(schema, value)
    if isinstance(value, list):
        return bool(schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)))
    if isinstance(value, int):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object", float: "number"}
    return names.get(type(value), "null")
