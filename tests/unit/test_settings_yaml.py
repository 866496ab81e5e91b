"""How a configuration file is read: text stays text, `${…}` is filled in, what is no YAML is said so."""

from pathlib import Path
from typing import Any

import pytest

from stream.errors import Exit, UserError
from stream.settings.yaml_text import Document, Mark, read_yaml
from tests.unit.configurations import written


def read(folder: Path, text: str | bytes, **environ: str) -> Document:
    """The document of a file with this text."""
    return read_yaml(written(folder, text), environ)


def tree(folder: Path, text: str | bytes, **environ: str) -> Any:
    """The values in a file in which nothing is wrong."""
    document = read(folder, text, **environ)
    assert [] == document.mistakes
    return document.tree


def mistakes(folder: Path, text: str, **environ: str) -> list[str]:
    """What is wrong in a file that can be read all the same, as `line:column: text`."""
    return [f"{at.line}:{at.column}: {said}" for at, said in read(folder, text, **environ).mistakes]


def broken(folder: Path, text: str | bytes) -> UserError:
    """The error for a file that cannot be read."""
    with pytest.raises(UserError) as caught:
        read(folder, text)
    assert Exit.BAD_FILE == caught.value.exit_code
    return caught.value


@pytest.mark.parametrize(
    "scalar",
    [
        "NO",
        "no",
        "off",
        "on",
        "y",
        "00",
        "0123",
        "0x10",
        "21:00",
        "1_000",
        "1e3",
        "5",
        "1.0",
        "~",
        "Null",
        "True",
        "2026-01-31",
    ],
)
def test_scalars_stay_what_was_written(tmp_path: Path, scalar: str) -> None:
    """Country codes, leading zeros and times of day are not YAML 1.1's booleans, octals and sexagesimals."""
    assert {"a": scalar} == tree(tmp_path, f"a: {scalar}\n")


@pytest.mark.parametrize("scalar, value", [("true", True), ("false", False), ("null", None)])
def test_three_words_are_special(tmp_path: Path, scalar: str, value: object) -> None:
    """Only true, false and null, and only without quotes."""
    assert {"a": value, "b": scalar, "c": scalar} == tree(tmp_path, f"a: {scalar}\nb: '{scalar}'\nc: \"{scalar}\"\n")


def test_variables_are_filled_in(tmp_path: Path) -> None:
    """Anywhere in a scalar, quoted or not, in lists too."""
    text = "a: ${X}\nb: '<${X}|${X}>'\nc: [\"${X}\", plain]\n"

    assert {"a": "1", "b": "<1|1>", "c": ["1", "plain"]} == tree(tmp_path, text, X="1")


@pytest.mark.parametrize("value", ["true", "null", "{a: b}", "x: y # z", "${Y}", "'", "a\nb"])
def test_what_is_filled_in_stays_text(tmp_path: Path, value: str) -> None:
    """A password that looks like YAML, or like a variable, is the password."""
    assert {"a": value} == tree(tmp_path, "a: ${X}\n", X=value)


def test_a_default_stands_in_for_a_variable_that_is_not_set_or_empty(tmp_path: Path) -> None:
    """As in a shell."""
    text = "a: ${NOT_SET:-one}\nb: ${EMPTY:-two}\nc: ${SET:-three}\n"

    assert {"a": "one", "b": "two", "c": "3"} == tree(tmp_path, text, EMPTY="", SET="3")


def test_an_empty_result_counts_as_not_written(tmp_path: Path) -> None:
    """An empty variable, an empty default, no value at all: the key is left out, an empty item too."""
    text = "a: ${EMPTY}\nb: ${NOT_SET:-}\nc: [\"${EMPTY}\", d]\ne:\nf: ''\n"

    assert {"c": ["d"], "f": ""} == tree(tmp_path, text, EMPTY="")


def test_a_doubled_dollar_escapes(tmp_path: Path) -> None:
    """`$${` is `${`; other dollars are themselves."""
    assert {"a": "${X}", "b": "$5 $$ $X $"} == tree(tmp_path, "a: $${X}\nb: $5 $$ $X $\n", X="1")


def test_variables_are_not_filled_in_keys(tmp_path: Path) -> None:
    """Values only."""
    assert {"${X}": "y"} == tree(tmp_path, "${X}: y\n", X="1")


def test_a_missing_variable_is_named_with_its_place(tmp_path: Path) -> None:
    """All of them at once; the rest of the scalar is not repeated."""
    text = "a: ${ONE}\nb:\n  c: [x, 'user:${TWO}@host']\n"

    assert [
        "1:4: a: the environment variable ONE is not set (a default is written ${ONE:-default})",
        "3:10: b.c[1]: the environment variable TWO is not set (a default is written ${TWO:-default})",
    ] == mistakes(tmp_path, text)


@pytest.mark.parametrize("scalar", ["${}", "${1X}", "${X", "${X-1}", "${file:}"])
def test_a_reference_that_is_none_is_a_mistake(tmp_path: Path, scalar: str) -> None:
    """It is not taken for text: a typo would become a password."""
    [mistake] = mistakes(tmp_path, f"a: {scalar}\n", X="1")

    assert mistake.startswith("1:4: a: a `${` that is not ${NAME}")


def test_a_file_is_filled_in_from_beside_the_configuration(tmp_path: Path) -> None:
    """Without the line's end that editors add."""
    (tmp_path / "secret").write_text("s3cret\n")

    assert {"a": "s3cret", "b": "none"} == tree(tmp_path, "a: ${file:secret}\nb: ${file:other:-none}\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    assert ["1:4: a: the file other cannot be read: No such file or directory"] == mistakes(
        tmp_path, "a: ${file:other}\n"
    )


def test_a_key_given_twice_is_a_mistake(tmp_path: Path) -> None:
    """At any depth, naming the first; the same name in another block is another key."""
    text = "a:\n  b: 1\n  c: 2\n  b: 3\nb: 4\na: 5\n"

    assert ["4:3: a.b is given twice, first on line 2", "6:1: a is given twice, first on line 1"] == mistakes(
        tmp_path, text
    )


def test_text_with_a_comma_in_braces_needs_quotes(tmp_path: Path) -> None:
    """YAML would read a second key without value, and nobody would know."""
    assert ["1:13: a.b) has no value (text with a comma needs quotes)"] == mistakes(tmp_path, "a: {c: x(a, b)}\n")


def test_an_alias_repeats_a_block(tmp_path: Path) -> None:
    """Anchors are YAML's own way to share one block."""
    assert {"a": {"x": "1"}, "b": {"x": "1"}} == tree(tmp_path, "a: &one {x: 1}\nb: *one\n")


def test_an_alias_within_itself_is_a_mistake(tmp_path: Path) -> None:
    """It would never end."""
    assert ["1:4: a.b is an alias (`*…`) of something around it"] == mistakes(tmp_path, "a: &one {b: *one}\n")


def test_a_tag_is_a_mistake(tmp_path: Path) -> None:
    """`!` at the start of a text was probably meant as text."""
    assert ["1:4: a has a YAML tag (`!…`), which means nothing here: quote text with `!`"] == mistakes(
        tmp_path, "a: !x y\n"
    )


def test_every_place_is_remembered(tmp_path: Path) -> None:
    """Keys and values, from 1; what is not in the file is where it belongs."""
    document = read(tmp_path, "a:\n  b: [x,\n    y]\n")

    assert Mark(2, 3) == document.mark(("a", "b"), key=True)
    assert Mark(3, 5) == document.mark(("a", "b", 1))
    assert Mark(1, 1) == document.mark(("a", "missing"))


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa: b\r\nc:\r\n  d: e\r\n", b"a: b\nc:\n  d: e"])
def test_editors_of_all_systems_can_write_it(tmp_path: Path, text: bytes) -> None:
    """With a byte order mark, Windows line ends, no line end at the end."""
    assert {"a": "b", "c": {"d": "e"}} == tree(tmp_path, text)


@pytest.mark.parametrize(
    "text, place, said, hint",
    [
        ("a:\n\tb: 1\n", "2:1", "a tab where YAML wants spaces", "indent with spaces"),
        ("a: {b: x ?? y}\n", "1:10", "expected ',' or '}', but got '?'", "put quotes around text that holds `??`"),
        ("a: {b: ${X}}\n", "1:9", "expected ',' or '}', but got '{'", "put quotes around"),
        ("a: b: c\n", "1:5", "a `:` that YAML does not expect here", "put quotes around"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "this line does not line up", "put quotes around"),
        ("a: 'b' ?? c\n", "1:8", "this line does not line up with the block above it, or follows", "put quotes around"),
        ("a: @b\n", "1:4", "found character '@' that cannot start any token", "put quotes around"),
        ("a: | trim\n", "1:6", "text after `|` or `>`", "put quotes around"),
        ("a: 'b\n", "2:1", "a quote or bracket that is never closed", "put quotes around"),
        ("a: *b\n", "1:4", "an alias (`*…`) of nothing", "put quotes around"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document", "remove everything from `---` on"),
        ("a: 1\nb: x\x07\n", "2:5", "a control character", "remove it"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_place(tmp_path: Path, text: str, place: str, said: str, hint: str) -> None:
    """File, line and column in one line, and what to do."""
    error = broken(tmp_path, text)

    assert error.text.startswith(f"{tmp_path / 'crmstream.yaml'}:{place}: {said}")
    assert hint in error.hint
    assert "\n" not in error.text


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, text: str) -> None:
    """With the command that writes one."""
    error = broken(tmp_path, text)

    assert error.text.endswith("the file is empty")
    assert "crmstream init" in error.hint


def test_a_file_that_is_not_utf8_is_said_to_be_so(tmp_path: Path) -> None:
    """With the line."""
    assert broken(tmp_path, b"a: b\nc: \xe9t\xe9\n").text.endswith("crmstream.yaml:2: the file is not UTF-8")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that writes one."""
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file") as caught:
        read_yaml(tmp_path / "nowhere.yaml")

    assert Exit.BAD_FILE == caught.value.exit_code


def test_brackets_without_end_are_an_error_like_any_other(tmp_path: Path) -> None:
    """Python's own limit is not a bug of the file's reader."""
    assert broken(tmp_path, "a: [" * 3000).text.endswith("blocks within blocks without end")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The system's reason is told."""
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_a_file_is_a_block_of_keys(tmp_path: Path, text: str) -> None:
    """A list or a text is not."""
    assert ["1:1: the file must be a block of keys, like `kafka:`"] == mistakes(tmp_path, text)
