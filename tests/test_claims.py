"""What an answer claims without ground is found, and an honest answer is left in peace."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from assistant.claims import Claim, Ground, find_unsupported, tell
from assistant.types import Artifact, Receipt, ToolResult
from tests.conftest import call

ANSWERS = tomllib.loads((Path(__file__).parent / "data" / "claims.toml").read_text("utf-8"))
PAINT = {
    "paint_image": "Paint a picture from words.",
    "look": "Look at a picture.",
    "keep": "Add a file to the library.",
}
PICTURE = Artifact("image-2", "image", "image/png", "fox.png", "0", 1, "a red fox")


def result(text: str, data: Any = None, name: str = "look", failed: bool = False, **more: Any) -> ToolResult:
    return ToolResult(call(name, **more.pop("arguments", {})), text, data, failed=failed, **more)


def claims(answer: str, *results: ToolResult, asked: str = "Tell me", **more: Any) -> list[str]:
    """Return what is found, with the tools above in the house and `asked` said last."""
    said = [*more.pop("said", ()), asked]
    return [claim.text for claim in find_unsupported(answer, Ground(results, said=said, abilities=PAINT, **more))]


@pytest.mark.parametrize(("returned", "asked", "answer"), ANSWERS["honest"])
def test_an_honest_answer_is_left_in_peace(returned: str, asked: str, answer: str) -> None:
    assert claims(answer, result(ANSWERS["results"].get(returned, returned)), asked=asked) == []


@pytest.mark.parametrize("row", ANSWERS["ungrounded"], ids=lambda row: row[2])
def test_what_no_tool_returned_is_found(row: list[str]) -> None:
    returned, asked, answer, *wrong = row
    assert claims(answer, result(ANSWERS["results"].get(returned, returned)), asked=asked) == wrong


@pytest.mark.parametrize("answer", ANSWERS["no_deeds"])
def test_words_about_work_are_no_claim(answer: str) -> None:
    assert claims(answer) == []


@pytest.mark.parametrize(("answer", "done"), ANSWERS["deeds"])
def test_work_that_no_tool_did_is_found(answer: str, done: str) -> None:
    assert claims(answer) == [done]


@pytest.mark.parametrize("returned", sorted(ANSWERS["results"]))
def test_a_result_repeated_word_for_word_is_left_in_peace(returned: str) -> None:
    text = ANSWERS["results"][returned]
    assert claims(text, result(text)) == []


def test_values_are_judged_only_where_a_tool_returned_something() -> None:
    assert claims("He was born in Paris in 1879.") == []
    assert claims("He was born in Paris in 1879.", result("It broke.", failed=True)) == ["1879", "Paris"]


@pytest.mark.parametrize(
    "ground",
    [
        {"asked": "Was he born in Paris in 1879?"},
        {"said": ["I am from Paris and moved in 1879."]},
        {"earlier": [result("Paris, 1879")]},
    ],
)
def test_what_was_said_before_is_ground(ground: dict[str, Any]) -> None:
    assert claims("He left Paris in 1879.", result("nothing"), **ground) == []


@pytest.mark.parametrize(
    "found",
    [
        result("done", {"city": "Paris", "years": [1879]}),
        result("done", arguments={"query": "Paris 1879"}),
        result("done", artifacts=(Artifact("image-1", "image", "image/png", "Paris 1879.png", "0", 1),)),
        result("done", receipt=Receipt(1.0, ("Paris@1879",))),
    ],
)
def test_everything_in_a_result_is_ground(found: ToolResult) -> None:
    assert claims("It shows Paris in 1879.", found) == []


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [("I found 3 pictures.", []), ("I found four pictures of a fox.", []), ("I found 7 pictures.", ["7"])],
)
def test_what_came_may_be_counted(answer: str, wrong: list[str]) -> None:
    pictures = [Artifact(f"image-{n}", "image", "image/png", "fox.png", "0", 1) for n in (11, 12, 13)]
    found = result("Found pictures", {"pictures": ["a", "b", "c", "d"]}, artifacts=tuple(pictures))
    assert claims(answer, found) == wrong


@pytest.mark.parametrize(
    "written", ["1,200", "1200", "1.200,00", "1 200", "1’200.00", "$1,200", "1.2k", "1.2 thousand"]
)
@pytest.mark.parametrize("returned", ["1200.00", "1,200", "EUR 1.200,00", "1 200"])
def test_numbers_are_compared_by_value(written: str, returned: str) -> None:
    assert claims(f"It costs {written} as far as I know.", result(returned)) == []
    assert claims(f"It costs {written} as far as I know.", result("1,300")) != []


@pytest.mark.parametrize("digits", ["9" * 16, "9" * 5000])
def test_a_number_too_long_for_a_number_is_a_code(digits: str) -> None:
    assert claims(f"It is {digits} there.", result(f"x {digits}")) == []
    assert claims(f"It is {digits} there.", result("x 8")) == [digits]


def test_a_very_long_word_takes_no_long_time() -> None:
    assert claims("a" * 5000, result("x")) == []


def test_a_manner_of_speaking_is_no_number() -> None:
    cat, dog = result("a cat"), result("a dog")
    assert claims("I'm 100% sure of it, 24/7.", cat, dog) == [] != claims("I'm 60% sure of it.", cat, dog)


def test_each_claim_is_told_once_and_invented_text_not_at_all() -> None:
    assert claims("It is 42. Yes, it is 42, and 42 it stays.", result("43")) == ["42"]
    assert claims("A fox named Rosalind ran 42 miles.", result("a fox"), asked="Write a story about it") == []


@pytest.mark.parametrize(
    ("results", "wrong"),
    [
        ([result("a red fox", "image-2", "paint_image", artifacts=(PICTURE,))], []),
        ([result("No memory.", name="paint_image", failed=True)], ["painted"]),
        ([result("a red fox")], ["painted"]),
    ],
)
def test_a_tool_must_have_done_the_work(results: list[ToolResult], wrong: list[str]) -> None:
    assert claims("I painted a red fox.", *results) == wrong


def test_work_of_an_earlier_turn_may_be_spoken_of_but_not_claimed_anew() -> None:
    painted = [result("a red fox", "image-2", "paint_image", artifacts=(PICTURE,))]
    assert claims("The picture I painted shows a red fox.", earlier=painted) == []
    assert claims("I have painted a second fox.", earlier=painted) == ["painted"]


def test_words_written_for_somebody_else_claim_nothing() -> None:
    mail = "Dear Tom, I have sent the parcel and I've painted the fence."
    assert claims(mail, asked="Write a letter to Tom about parcel and fence") == []
    assert claims(f"{mail} I've sent it.", asked="Write a letter to Tom and send it") == ["sent"]
    assert claims("I painted the fence.", result("Dear diary, today I painted the fence.")) == []


def test_what_somebody_else_did_is_no_claim() -> None:
    assert claims("The picture has been edited.", result("a photo")) == []
    assert claims("The picture has been edited.") == ["edited"]
    assert claims("Yes, your email has been sent.", asked="Has my email been sent?") == []


def test_a_picture_that_came_is_shown_whoever_made_it() -> None:
    assert claims("Here is the picture you asked for.", result("turned", artifacts=(PICTURE,))) == []
    assert claims("Here is the picture you asked for.", result("turned")) == ["made"]


def test_the_claims_are_told_in_a_sentence_each() -> None:
    assert tell([Claim("action", "painted"), Claim("action", "sent")]) == (
        "Nothing was painted or sent: no tool did that."
    )
    many = [Claim("number", str(n)) for n in range(10, 17)]
    assert tell(many) == (
        "Not found in the tools' results: “10”, “11”, “12”, “13”, “14” and 2 more. Check it before you rely on it."
    )
