"""The README of the initializers says what the registry says."""

from keras_initkit._registry import ROWS
from tests.initializers.readme import README, with_tables


def test_tables_are_those_of_the_registry():
    page = README.read_text("utf-8")
    assert page == with_tables(page), "run `python -m tests.initializers.readme`"


def test_every_class_of_the_kit_is_recommended_or_in_the_table():
    page = README.read_text("utf-8")
    assert [row.name for row in ROWS if f"`{row.name}`" not in page] == []
