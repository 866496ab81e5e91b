"""Transforms that also see an absent value: what stands in for it, and the conditions."""

from stream.transforms.definition import ANYTHING, Absent, transform


@transform(takes=ANYTHING, example=(None, "default('unknown')", "unknown"))
def default(value: object, otherwise: object) -> object:
    """The value, or another where it is absent."""
    return otherwise if type(value) is Absent else value


@transform(takes=ANYTHING, condition=True, example=("ada@example.com", "exists", True))
def exists(value: object) -> bool:
    """True where there is a value."""
    return type(value) is not Absent


@transform(takes=ANYTHING, condition=True, name="is", example=("pro", "is('pro')", True))
def equals(value: object, other: object) -> bool:
    """True where the value is this one."""
    return _same(value, other)


@transform(takes=ANYTHING, condition=True, name="in", example=("pro", "in('pro', 'team')", True))
def among(value: object, *others: object) -> bool:
    """True where the value is one of these."""
    return any(_same(value, other) for other in others)


def _same(value: object, other: object) -> bool:
    """Equal, where true is not 1 as it is in Python, but 1 is 1.0 as it is in JSON."""
    return (type(value) is bool) is (type(other) is bool) and value == other
