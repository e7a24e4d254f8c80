"""Token trees: which tokens belong to an option, and that a prompt begins once."""

import pytest
import tiny
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree, encode_for_decoder, encode_prompts
from thermometer.types import Question

CAPITAL = Question("q1", "What is the capital of France?", ("Paris", "Rome", "London"), 0)


def tokens(tokenizer, *texts):
    return [tokenizer.convert_tokens_to_ids(text) for text in texts]


def branches(tokenizer, text, *options):
    return encode_prompts(tokenizer, [Prompt("q", text, options)])[0].branches


def test_leading_space_trap(tokenizer):
    """After "Answer:" the token is " A"; after a line break or a chat header it is "A"."""
    spaced, bare = tokens(tokenizer, "ĠA", "A")
    assert spaced != bare
    assert branches(tokenizer, "Answer:", " A", " B")[0] == (spaced,)
    assert branches(tokenizer, "Answer:\n", "A", "B")[0] == (bare,)
    letter = encode_prompts(tokenizer, [Template().render(CAPITAL)])[0]
    assert letter.branches == tuple((i,) for i in tokens(tokenizer, "ĠA", "ĠB", "ĠC"))
    chat = encode_prompts(tokenizer, [Template(chat=True).render(CAPITAL)])[0]
    assert chat.branches == tuple((i,) for i in tokens(tokenizer, "A", "B", "C"))


def test_whole_encoding_is_prefix_and_branch(tokenizer):
    prompt = Template("cloze").render(CAPITAL)
    tree = encode_prompts(tokenizer, [prompt])[0]
    assert tree.tail == ()
    assert list(tree.prefix) == tokenizer(prompt.text)["input_ids"]
    for option, branch in zip(prompt.options, tree.branches, strict=True):
        assert [*tree.prefix, *branch] == tokenizer(prompt.text + option)["input_ids"]


def test_merging_across_the_boundary(tokenizer):
    """ "Answer: P" + "aris" is one token; then the branches begin before the prompt ends."""
    prompt = Prompt("q", "Answer: P", ("aris", "erhaps"))
    tree = encode_prompts(tokenizer, [prompt])[0]
    assert tree.branches[0] == tuple(tokens(tokenizer, "ĠParis"))
    assert tree.tail != ()
    assert [*tree.prefix, *tree.tail] == tokenizer(prompt.text)["input_ids"]
    for option, branch in zip(prompt.options, tree.branches, strict=True):
        assert [*tree.prefix, *branch] == tokenizer(prompt.text + option)["input_ids"]


def unigram(prepend="never"):
    """A tokenizer of whole texts, without words: what follows may change what was before."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=False)
    trainer = trainers.UnigramTrainer(vocab_size=300, show_progress=False, unk_token="<unk>")
    core.train_from_iterator(tiny.SENTENCES * 3, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def with_long_tokens():
    """Knows a token that spans four words."""
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyzFYPA?:"]
    longer = [("▁of▁France?", -1.0), ("▁capital▁of▁France?▁Yes", -0.5), ("▁capital", -1.0)]
    core = Tokenizer(models.Unigram([("<unk>", -20.0), *letters, *longer], 0))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def test_a_token_that_spans_prompt_and_option():
    tokenizer = with_long_tokens()
    prompt = Prompt("q", "what is the capital of France?", (" Yes", " Paris"))
    tree = encode_prompts(tokenizer, [prompt])[0]
    for option, branch in zip(prompt.options, tree.branches, strict=True):
        assert [*tree.prefix, *branch] == tokenizer(prompt.text + option)["input_ids"]
    assert tree.branches[0] == tuple(tokens(tokenizer, "▁capital▁of▁France?▁Yes"))


TOKENIZERS = {
    "words": tiny.tokenizer(),
    "no words": unigram(),
    "blank before": unigram(prepend="always"),
}
pieces = st.sampled_from(
    [" the", " capital", " of", "France", "?", "\n", "Answer:", " ", "  ", "é", "中文", " 12", "P"]
)
texts = st.lists(pieces, min_size=1, max_size=60).map("".join)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=texts, options=st.lists(texts, min_size=2, max_size=4, unique=True))
@settings(max_examples=60, deadline=None)
def test_prompt_and_option_have_the_tokens_that_they_have_as_a_whole(name, text, options):
    """Though only the end of the prompt is tokenised again."""
    tokenizer = TOKENIZERS[name]
    own, *wholes = (tokenizer(t)["input_ids"] for t in (text, *(text + o for o in options)))
    try:
        tree = encode_prompts(tokenizer, [Prompt("q", text, tuple(options))])[0]
    except ValueError:  # some options cannot be told apart, or the prompt has no token
        return
    assert [*tree.prefix, *tree.tail] == own
    for branch, whole in zip(tree.branches, wholes, strict=True):
        assert [*tree.prefix, *branch] == whole


class Counting:
    """A tokenizer that counts the characters that it is given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.characters, self.chat_template = tokenizer, 0, None
        self.backend_tokenizer = tokenizer.backend_tokenizer

    def __call__(self, texts, **options):
        self.characters += sum(map(len, texts))
        return self.tokenizer(texts, **options)


def test_only_the_end_of_a_prompt_is_tokenised_with_the_options():
    text = "the capital of " * 100 + "France?\nAnswer:"
    counting = Counting(tiny.tokenizer())
    tree = encode_prompts(counting, [Prompt("q", text, (" Paris", " Rome", " London"))])[0]
    assert len(text) < counting.characters < 1.2 * len(text)
    assert (
        tree
        == encode_prompts(tiny.tokenizer(), [Prompt("q", text, (" Paris", " Rome", " London"))])[0]
    )


@pytest.mark.parametrize("chat", [False, True])
def test_one_bos(tokenizer, chat):
    for style in ("letter", "cloze"):
        tree = encode_prompts(tokenizer, [Template(style, chat=chat).render(CAPITAL)])[0]
        assert tree.prefix[0] == tokenizer.bos_token_id
        assert tree.prefix.count(tokenizer.bos_token_id) == 1


def test_one_bos_for_a_prompt_that_somebody_rendered(tokenizer):
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Is it?"}], tokenize=False, add_generation_prompt=True
    )
    tree = encode_prompts(tokenizer, [Prompt("q", rendered, ("yes", "no"))])[0]
    asked = encode_prompts(tokenizer, [Prompt("q", "Is it?", ("yes", "no"), chat=True)])[0]
    assert tree == asked
    assert tree.prefix.count(tokenizer.bos_token_id) == 1


def test_tokenizer_without_bos():
    plain = tiny.tokenizer(bos=False)
    tree = encode_prompts(plain, [Prompt("q", "Is it?", (" yes", " no"))])[0]
    assert list(tree.prefix) == plain("Is it?")["input_ids"]
    assert plain.bos_token_id not in tree.prefix


def test_end_of_text_token_is_not_appended():
    ending = tiny.tokenizer(eos=True)
    tree = encode_prompts(ending, [Prompt("q", "Is it?", (" yes", " no"))])[0]
    assert ending.eos_token_id not in (*tree.prefix, *tree.branches[0])
    assert tree.prefix[0] == ending.bos_token_id


def test_chat_without_template_is_refused():
    with pytest.raises(ValueError, match="tokenizer without a chat template"):
        encode_prompts(tiny.tokenizer(chat=False), [Template(chat=True).render(CAPITAL)])


def test_options_that_cannot_be_told_apart_are_refused(tokenizer):
    with pytest.raises(ValueError, match="tokens of their own, but got '' in question q7"):
        encode_prompts(tokenizer, [Prompt("q7", "Answer:", ("", "x"))])
    with pytest.raises(ValueError, match=r"different tokens, but got .* in question q8"):
        encode_prompts(tokenizer, [Prompt("q8", "Answer:", (" x", " x"))])


def test_option_that_tokenises_like_another_is_refused():
    """An uncased tokenizer makes no difference between "Rome" and "rome"."""
    tokenizer = tiny.tokenizer(lower=True)
    with pytest.raises(ValueError, match=r"different tokens.* in question q1"):
        encode_prompts(tokenizer, [Prompt("q1", "Answer:", (" Rome", " rome"))])


def test_prompt_longer_than_the_context_names_the_question(tokenizer):
    prompts = [Prompt("short", "Is it?", (" yes",)), Prompt("long", "Is it? " * 30, (" yes",))]
    length = len(tokenizer(prompts[1].text)["input_ids"])
    encode_prompts(tokenizer, prompts, max_length=length + 1)
    with pytest.raises(ValueError, match=r"at most 20 tokens long .* question long"):
        encode_prompts(tokenizer, prompts, max_length=20)


def test_the_last_token_of_an_option_needs_no_room(tokenizer):
    prompt = Prompt("q", "Is it?", (" yes",))
    length = len(tokenizer(prompt.text)["input_ids"])
    assert encode_prompts(tokenizer, [prompt], max_length=length)
    with pytest.raises(ValueError, match="question q"):
        encode_prompts(tokenizer, [prompt], max_length=length - 1)


def test_empty_prompt_is_refused_where_nothing_precedes_it():
    with pytest.raises(ValueError, match=r"at least one token .* question q9"):
        encode_prompts(tiny.tokenizer(bos=False), [Prompt("q9", "", ("yes", "no"))])


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("none", (1, 1)), ("char", (3, 7)), ("byte", (4, 7)), ("unconditional", (1, 1))],
)
def test_divisors(tokenizer, norm, expected):
    prompt = Prompt("q", "Answer:", (" aéb", " Ottawaa"))
    tree = encode_prompts(tokenizer, [prompt], norm)[0]
    assert tree.divisors == expected


def test_token_norm_divides_by_the_length_of_the_branch(tokenizer):
    tree = encode_prompts(tokenizer, [Prompt("q", "Answer:", (" Paris", " xyzzy"))], "token")[0]
    assert tree.divisors == tuple(map(len, tree.branches))
    assert tree.divisors[0] == 1 < tree.divisors[1]


@pytest.mark.parametrize("chat", [False, True])
def test_unconditional_prior_has_the_same_branches(tokenizer, chat):
    prompt = Template("cloze", "unconditional", chat=chat).render(CAPITAL)
    tree = encode_prompts(tokenizer, [prompt], "unconditional")[0]
    assert tree.prior is not None
    assert tree.prior.branches == tree.branches
    assert tree.prior.prefix.count(tokenizer.bos_token_id) == 1
    text = tokenizer.decode(tree.prior.prefix)
    assert text == ("<s><|user|>Answer:\n<|assistant|>" if chat else "<s>Answer:")


def test_decoder_options_are_single_tokens():
    tokenizer = tiny.tokenizer(bos=False, eos=True)
    tree = encode_for_decoder(tokenizer, [Template().render(CAPITAL)])[0]
    assert tree.prefix[-1] == tokenizer.eos_token_id
    assert tree.branches == tuple((i,) for i in tokens(tokenizer, "A", "B", "C"))
    with pytest.raises(ValueError, match=r"single tokens .* question q1"):
        encode_for_decoder(tokenizer, [Template("cloze").render(CAPITAL)])
    with pytest.raises(ValueError, match=r"at most 5 tokens .* question q1"):
        encode_for_decoder(tokenizer, [Template().render(CAPITAL)], max_length=5)


def test_decoder_keeps_the_norm_and_refuses_chat():
    tokenizer = tiny.tokenizer(bos=False, eos=True)
    prompt = Prompt("q", "Is it?", ("Answer", "A"))
    tree = encode_for_decoder(tokenizer, [prompt], "char")[0]
    assert tree.divisors == (6, 1)
    prior = encode_for_decoder(tokenizer, [prompt], "unconditional")[0].prior
    assert list(prior.prefix) == tokenizer("Answer:")["input_ids"]
    assert prior.branches == tree.branches
    with pytest.raises(ValueError, match="`chat` to be False for an encoder-decoder"):
        encode_for_decoder(tokenizer, [Template(chat=True).render(CAPITAL)])


def test_no_prompts():
    assert encode_prompts(tiny.tokenizer(), []) == []


def test_sizes_of_a_tree():
    tree = TokenTree("q", (1, 2, 3), ((4,), (5, 6), (7, 8, 9)), (10,))
    assert tree.n_prompt_tokens == 4
    assert tree.n_tokens == 3 + 1 + 0 + 1 + 2
    assert tree.depth == 5
    assert tree.n_rows == 3
    assert TokenTree("q", (1,)).n_rows == 1
