"""A database that compares text by the rules of a language, as many that teams run do."""

import psycopg
import pytest

from order_devstack.postgresql import PostgreSQL


@pytest.mark.parametrize(("icu_locale", "expected"), [(None, ["B", "a"]), ("en-US", ["a", "B"])])
def test_a_database_sorts_by_the_collation_that_it_was_made_with(
    postgresql: PostgreSQL, icu_locale: str | None, expected: list[str]
) -> None:
    postgresql.create("sorted", icu_locale=icu_locale)
    try:
        with psycopg.connect(postgresql.url("sorted")) as connection:
            found = connection.execute("SELECT letter FROM (VALUES ('B'), ('a')) AS v (letter) ORDER BY letter")
            assert [letter for (letter,) in found] == expected
    finally:
        postgresql.drop("sorted")


def test_a_copy_of_a_database_has_its_collation(postgresql: PostgreSQL) -> None:
    postgresql.create("template-icu", icu_locale="en-US")
    postgresql.create("copy-icu", template="template-icu")
    try:
        with psycopg.connect(postgresql.url("copy-icu")) as connection:
            assert connection.execute("SELECT 'a' < 'B'").fetchone() == (True,)
    finally:
        postgresql.drop("copy-icu")
        postgresql.drop("template-icu")
