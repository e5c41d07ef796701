"""What was asked before is carried over to the same tool, and only where the message says nothing else."""

import pytest

from assistant.choosing.carry import carry


@pytest.mark.parametrize(
    ("said", "text", "earlier", "wanted"),
    [
        ("what about page 7?", "what about page 7?", "Who is the surveyor?", "Who is the surveyor?"),
        ("and in the other quote?", "and in the other quote?", "When is delivery?", "When is delivery?"),
        ("and the total?", "and the total?", "When is delivery?", "and the total?"),
        ("and in French?", "in French", "Translate hello", "in French"),
        ("try another with a red roof this time", "a red roof", "a windmill at dusk", "a windmill at dusk, a red roof"),
        ("do it once again with snow", "snow", "a deer in the woods.", "a deer in the woods, snow"),
        ("make it blue", "blue", "a vase", "a vase, blue"),
        ("now make the vase blue", "a blue vase", "a vase of tulips", "a blue vase"),
        ("again, but a windmill in snow", "a windmill in snow", "a windmill at dusk", "a windmill in snow"),
        ("now paint a castle again", "a castle", "a windmill", "a castle"),
        ("again: who signed it?", "who signed it", "What is the total?", "who signed it"),
        ("a picture of a dog this time", "a dog", "a cat", "a dog"),
    ],
)
def test_what_was_asked_before_is_carried_over(said: str, text: str, earlier: str, wanted: str) -> None:
    assert carry(said, text, earlier, {"quote", "red"}) == wanted
