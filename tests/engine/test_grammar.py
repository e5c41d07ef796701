"""A grammar is kept whatever the model thinks, costs few passes, and leaves the odds of what it allows as they were."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from assistant.engine.decode import Count, Engine, _Reply
from assistant.engine.grammar import Constraint, Vocabulary
from assistant.engine.sample import Sampler, Sampling
from tests.engine.conftest import PROMPT, Embedded, speak

END = 259  # <|eot_id|>


@pytest.fixture(scope="module")
def vocabulary(tiny_tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    return Vocabulary(tiny_tokenizer, 320)


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def test_a_grammar_is_kept_and_its_forced_tokens_are_read_at_once(
    engine: Engine, vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    constraint = vocabulary.constraint('start: ("yes" | "no") ", and here is a long forced end."')
    count = Count()
    said = speak(engine, PROMPT, Sampling(100), frozenset({END}), count, constraint=constraint)
    text = tiny_tokenizer.decode(said)
    assert text in ("yes, and here is a long forced end.", "no, and here is a long forced end.")
    assert count.generated == len(said) == len(text)
    assert count.passes == 0  # nothing is asked of the model once only the end can follow


@pytest.mark.parametrize("late", [False, True])
def test_free_text_then_a_rule_is_kept_by_every_seed(
    engine: Engine, vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast, late: bool
) -> None:
    engine.reads_late = late
    for seed in range(5):
        constraint = vocabulary.constraint('start: /[a-z]{3,8}/ "=" /[0-9]{2}/')
        sampling = Sampling(100, temperature=1.0, top_p=0.9 if seed % 2 else 1.0, seed=seed)
        text = tiny_tokenizer.decode(speak(engine, PROMPT, sampling, frozenset({END}), constraint=constraint))
        name, _, number = text.partition("=")
        assert name.isalpha()
        assert 3 <= len(name) <= 8
        assert number.isdigit()
        assert len(number) == 2


def test_a_limit_cuts_forced_tokens_too(engine: Engine, vocabulary: Vocabulary) -> None:
    count = Count()
    said = speak(engine, PROMPT, Sampling(7), count=count, constraint=vocabulary.constraint('start: "abcdefghijkl"'))
    assert (len(said), count.generated) == (7, 7)
    assert engine.cache.ids == [*PROMPT, *said][: len(engine.cache.ids)]


def test_what_must_follow_is_returned_and_what_may_is_asked_cheaply(
    vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    constraint = vocabulary.constraint('start: ("ab" | "cd") "ef" ("x" | "y")')
    a, b, c, d, e, f, x, y = ids(tiny_tokenizer, "abcdefxy")
    assert constraint.allowed().nonzero().flatten().tolist() == [a, c]
    assert [constraint.permits(token) for token in (a, b, c, END)] == [True, False, True, False]
    assert constraint.possible([c, d, e, x]) == 3
    assert constraint.possible([d]) == 0
    assert constraint.accept(a) == [b, e, f]  # and asking took nothing
    assert constraint.allowed().nonzero().flatten().tolist() == [x, y]
    assert not constraint.finished()
    constraint.accept(y)
    assert constraint.finished()


def test_the_end_is_allowed_where_the_text_may_end(
    vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    constraint = vocabulary.constraint('start: "a" "b"*')
    (a,) = ids(tiny_tokenizer, "a")
    assert not constraint.permits(END)
    constraint.accept(a)
    assert constraint.permits(END)
    assert constraint.allowed().shape == (320,)
    assert bool(constraint.allowed()[END])


def test_a_token_against_the_grammar_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match="doesn't satisfy the grammar"):
        vocabulary.constraint('start: "a"').accept(0)


def test_a_wrong_grammar_says_so(vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match="Expected token"):
        vocabulary.constraint("nonsense")


def replying(sampling: Sampling, constraint: Constraint) -> _Reply:
    sampler = Sampler(sampling, 320, torch.device("cpu"))
    return _Reply([1], sampling, sampler, frozenset(), Count(), constraint, None, None)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1, temperature=1.0),
        Sampling(1, temperature=1.5),
        Sampling(1, temperature=1.0, top_k=3),
        Sampling(1, temperature=1.0, top_p=0.7),
    ],
    ids=str,
)
def test_drawing_again_leaves_the_odds_of_what_is_allowed(
    sampling: Sampling, vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    logits = torch.full((320,), -30.0)
    letters = ids(tiny_tokenizer, "abcdefgh")
    logits[letters] = torch.tensor([2.0, 1.5, 1.2, 1.0, 0.6, 0.3, 0.0, -0.5])
    reply = replying(sampling, vocabulary.constraint('start: ("b" | "d" | "e" | "g" | "h") /.*/'))
    draws = 6000
    found = torch.bincount(torch.tensor([reply.draw(logits) for _ in range(draws)]), minlength=320)[letters] / draws

    allowed = torch.zeros(320, dtype=torch.bool)
    allowed[ids(tiny_tokenizer, "bdegh")] = True
    exact = Sampler(sampling, 320, torch.device("cpu"))._warpers(None, logits.masked_fill(~allowed, -torch.inf)[None])
    expected = exact.softmax(-1)[0][letters]
    spread = (expected * (1 - expected) / draws).sqrt().clamp(min=0.1 / draws)
    assert float(((found - expected).abs() / spread).max()) < 4


def test_greedy_under_a_grammar_takes_the_likeliest_of_what_is_allowed(
    vocabulary: Vocabulary, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    logits = torch.zeros(320)
    a, b, c = ids(tiny_tokenizer, "abc")
    logits[[a, b, c]] = torch.tensor([3.0, 2.0, 1.0])
    assert replying(Sampling(1), vocabulary.constraint('start: "a" | "b" | "c"')).draw(logits) == a
    assert replying(Sampling(1), vocabulary.constraint('start: "c" | "b"')).draw(logits) == b


def test_the_embedded_model_quotes_a_line_in_few_passes(embedded: Embedded) -> None:
    lines = ["The yellow form is at desk 12.", "Your parcel leaves Rotterdam on Tuesday 3 March."]
    prompt = embedded.question("\n".join(lines) + "\nWhen does the parcel leave?")
    vocabulary = Vocabulary(embedded.tokenizer, embedded.engine.vocabulary_size)
    rule = "start: " + " | ".join(f'"{line}"' for line in lines)
    alone = speak(embedded.engine, prompt, Sampling(40), constraint=vocabulary.constraint(rule))
    assert embedded.tokenizer.decode(alone) in lines
    count = Count()
    guessed = speak(
        embedded.engine, prompt, Sampling(40), count=count, constraint=vocabulary.constraint(rule), copies=True
    )
    assert guessed == alone
    assert count.passes < 4 < len(alone)


def test_words_may_end_with_any_end_of_the_model_whatever_the_tokenizer_calls_its_own(
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    other = tiny_tokenizer.convert_tokens_to_ids("<|eom_id|>")
    words = Vocabulary(tiny_tokenizer, 320, {END, other}).constraint("start: /[a-z]*/")
    assert words.permits(END)
    assert words.permits(other)
    assert not Vocabulary(tiny_tokenizer, 320).constraint("start: /[a-z]*/").permits(other)
