"""How a point in time is said in a sentence for people, and read from a text that anybody may have written."""

from datetime import UTC, datetime

# Not by strftime, whose names of months are those of a locale.
_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


def read(text: str) -> datetime | None:
    """An ISO 8601 or RFC 3339 text, in UTC where it names no zone. None if it is no point in time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def day(at: datetime) -> str:
    """`28 Nov`, in UTC."""
    moment = at.astimezone(UTC)
    return f"{moment.day} {_MONTHS[moment.month - 1]}"


def minute(at: datetime) -> str:
    """`28 Nov 19:13 UTC`."""
    return f"{day(at)} {at.astimezone(UTC):%H:%M} UTC"


def second(at: datetime) -> str:
    """`28 Nov 19:13:08 UTC`."""
    return f"{day(at)} {at.astimezone(UTC):%H:%M:%S} UTC"
