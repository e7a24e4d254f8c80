"""Rendered prompts, letter by letter."""

import pytest

from thermometer.templates import Prompt, Template
from thermometer.types import Question, Task

CAPITAL = Question("q1", "What is the capital of Peru?", ("Lima", "Oslo", "Rome", "Cairo"), 0)
COLOUR = Question("q2", "Is grass green?", ("yes", "no"), 0)


def test_letter_prompt_has_the_wording_of_the_paper():
    prompt = Template().render(CAPITAL, "geography")
    assert prompt.text == (
        "geography \nChoose A, B, C, or D. \nQuestion:What is the capital of Peru?. \n"
        "A. Lima. \nB. Oslo. \nC. Rome. \nD. Cairo. \nAnswer:"
    )
    assert prompt == Prompt("q1", prompt.text, (" A", " B", " C", " D"), False)


def test_two_options_are_offered_as_in_the_paper():
    text = Template().render(COLOUR, "nature").text
    assert text.startswith("nature \nChoose A, or B. \nQuestion:")


def test_context_comes_before_the_question():
    question = Question("q", "Who won?", ("Ann", "Bob"), context="Ann beat Bob")
    assert "\nContext:Ann beat Bob. \nQuestion:Who won?." in Template().render(question, "t").text
    cloze = Template("cloze").render(question, "t")
    assert cloze.text == "Ann beat Bob\nQuestion: Who won?\nAnswer:"


@pytest.mark.parametrize("name", ["", "t"])
def test_task_name_can_be_left_out(name):
    text = Template(task_name=False).render(COLOUR, name).text
    assert text.startswith("Choose A, or B.")


def test_cloze_hides_the_options():
    prompt = Template("cloze").render(CAPITAL, "geography")
    assert prompt.text == "Question: What is the capital of Peru?\nAnswer:"
    assert prompt.options == (" Lima", " Oslo", " Rome", " Cairo")


def test_options_after_a_chat_header_have_no_blank():
    assert Template(chat=True).render(COLOUR).options == ("A", "B")
    assert Template("cloze", chat=True).render(COLOUR).options == ("yes", "no")
    assert Template(chat=True).render(COLOUR).chat


def test_demonstrations_are_shown_with_their_answers():
    task = Task("t", (CAPITAL,), (COLOUR, Question("d", "Is snow green?", ("yes", "no"), 1)))
    cloze = Template("cloze", shots=2).render_task(task)[0].text
    assert cloze == (
        "Question: Is grass green?\nAnswer: yes\n\n"
        "Question: Is snow green?\nAnswer: no\n\n"
        "Question: What is the capital of Peru?\nAnswer:"
    )
    letter = Template(shots=2).render_task(task)[0].text
    blocks = letter.split("\n\n")
    assert [block[-9:] for block in blocks] == ["Answer: A", "Answer: B", " \nAnswer:"]
    assert all(block.startswith("t \nChoose A, ") for block in blocks)
    assert Template(shots=1).render_task(task)[0].text.count("Question:") == 2


def test_letters_go_to_z_and_no_further():
    def question(n):
        return Question("big", "Which?", tuple(f"option {i}" for i in range(n)))

    prompt = Template().render(question(26))
    assert prompt.options[-1] == " Z"
    assert "Z. option 25." in prompt.text
    with pytest.raises(ValueError, match=r"at most 26 .* 27 in question big"):
        Template().render(question(27))
    assert len(Template("cloze").render(question(27)).options) == 27


def test_too_few_demonstrations_name_the_question():
    with pytest.raises(ValueError, match=r"at least 1 answered questions, but got 0 for .* q1"):
        Template(shots=1).render(CAPITAL)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"style": "essay"}, "`style` to be one of 'cloze', 'letter'"),
        ({"style": "cloze", "norm": "words"}, "`norm` to be one of"),
        ({"norm": "char"}, "`norm` to be 'none' for the letter style"),
        ({"shots": -1}, "`shots`"),
    ],
)
def test_impossible_templates_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Template(**fields)


def test_digest_is_of_every_field():
    variants = [
        Template(),
        Template("cloze"),
        Template("cloze", "char"),
        Template(shots=1),
        Template(chat=True),
        Template(task_name=False),
    ]
    assert len({template.digest for template in variants}) == len(variants)
    assert Template().digest == Template("letter", "none").digest
