"""Writes tests/data/golden: small tokenizer.json files, with the ids that Hugging Face's tokenizers give for texts, and
tests/data/golden_tiktoken.json. Needs the packages tokenizers, tiktoken, sentencepiece and protobuf."""
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "To be, or not to be: that is the question.\n\nWhether 'tis nobler I'LL don't we've 1234567 3.14!!!\r\n\r\n  x = y;\n"
    "\tif (a[i] != b) { return foo_bar(a, 42); }   // trailing   \n\n\n   end",
    "Straße Ångström A\u030angstro\u0308m façade ﬁn ½ Ⅷ ١٢ naïve ÀÉÎ İstanbul ſ's \u00a0\u2003\u3000 x\u200dy\u200bz",
    "Съешь ещё этих мягких булок. 日本語のテキスト、漢字かな。中文句子！한국어 각 हिन्दी में क्षि Ελληνικά ς ΣΑΣ שָׁלוֹם",
    "🙂👩‍👩‍👧‍👦🇩🇪 👍🏽 e\u0301\u0316 \U00010f50\u0301 \u0d3b\u0301 a<|endoftext|>b <think> world  hello world.worldly </s> [UNK] <0x41> ▁ _a_",
    "", " ", "\n", "a", "  leading and trailing  ", "\u0301", "\ufffd\u0085\x00\x1f\x7f",
]
SAMPLES = 2  # texts that most are trained on
PIECES = 0  # of the vocabularies; 0: few, for small files
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
DEEPSEEK = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
THINK = [AddedToken("<think>", special=False, normalized=False)]
WORLD = [AddedToken("world", special=False, single_word=True, lstrip=True, rstrip=True)]
BLANKS = [AddedToken(" " * n, special=False, normalized=True) for n in range(4, 1, -1)]


def bytes_by(pattern=None, prefix=False):
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=pattern is None)
    if pattern is None:
        return level
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in ([pattern] if isinstance(pattern, str) else pattern)]
    return pre_tokenizers.Sequence(steps + [level])


def byte_pairs(words, normalizer=None, added=(), **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer, tokenizer.decoder = words, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=PIECES or 300, min_frequency=1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"], show_progress=False))
    tokenizer.add_tokens(list(added))
    return tokenizer


def trained(model, words, trainer, normalizer=None, decoder=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = words, decoder or decoders.Metaspace()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(TEXTS[:SAMPLES], trainer)
    return tokenizer


def with_members(tokenizer, **members):
    """The same with other members, and with tokens for all bytes among the pieces of its vocabulary."""
    file = json.loads(tokenizer.to_str())
    file.update(members)
    file["added_tokens"] = [token for token in file["added_tokens"] if not token["content"].startswith("<0x")]
    if "byte_fallback" in file["model"]:
        file["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(file))


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MARKS = ["<unk>", "<s>", "</s>"]


def sentence_piece_like(normalizer, words):
    """Byte pairs of characters, as in Llama 2, Mistral and Gemma."""
    model = models.BPE(unk_token="<unk>", fuse_unk=True)
    tokenizer = trained(model, pre_tokenizers.Metaspace(prepend_scheme="never"), trainers.BpeTrainer(
        vocab_size=PIECES or 420, min_frequency=1, limit_alphabet=PIECES // 4 or 10**6,
        special_tokens=MARKS + BYTES, show_progress=False))
    empty = Tokenizer(models.BPE())
    if normalizer:
        empty.normalizer = normalizer
    if words:
        empty.pre_tokenizer = words
    file = json.loads(empty.to_str())
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.decoder = decoder
    return with_members(tokenizer, normalizer=file["normalizer"], pre_tokenizer=file["pre_tokenizer"])


def word_pieces(normalizer, words):
    return trained(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12), words, trainers.WordPieceTrainer(
        vocab_size=PIECES or 180, min_frequency=1, limit_alphabet=PIECES // 4 or 10**6,
        special_tokens=["[UNK]", "[SEP]"], show_progress=False), normalizer,
        decoders.WordPiece())


def unigram(normalizer, words, fallback=False):
    tokenizer = trained(models.Unigram(), words, trainers.UnigramTrainer(
        vocab_size=PIECES * 2 or 120 + 256 * fallback, special_tokens=MARKS + BYTES * fallback, unk_token="<unk>",
        show_progress=False), normalizer)
    file = json.loads(tokenizer.to_str())
    for entry in file["model"]["vocab"]:
        entry[1] = round(entry[1], 3)
    return with_members(tokenizer, model=dict(file["model"])) if fallback else Tokenizer.from_str(json.dumps(file))


def small_map():
    """A compiled normalisation of SentencePiece with a few rules."""
    import io
    import tempfile
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    rules = {"ﬁ": "fi", "½": "1/2", "e\u0301": "é", "Ⅷ": "VIII", "\u3000": " ", "\u00a0": " ", "。": ".", "\u200b": "",
             "\u0301": "'", "👍": "+", "\r": ""}
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
        for old, new in rules.items():
            file.write(" ".join(f"{ord(c):X}" for c in old) + "\t" + " ".join(f"{ord(c):X}" for c in new) + "\n")
        file.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["To be, or not to be: that is the question."] * 9), model_writer=model,
            vocab_size=60, hard_vocab_limit=False,
            normalization_rule_tsv=file.name, minloglevel=2)
    spec = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue()).normalizer_spec
    return normalizers.Precompiled(spec.precompiled_charsmap)


def tokenizers():
    n, p = normalizers, pre_tokenizers
    yield "gpt2", byte_pairs(bytes_by())
    yield "llama3", byte_pairs(bytes_by(LLAMA3), ignore_merges=True)
    yield "qwen", byte_pairs(bytes_by(LLAMA3), n.NFC(), THINK)
    yield "neox", byte_pairs(bytes_by(), n.NFKC(), BLANKS)
    yield "roberta", byte_pairs(bytes_by(prefix=True), None, WORLD)
    yield "deepseek", byte_pairs(bytes_by(DEEPSEEK))
    yield "bare", byte_pairs(p.Sequence([p.Digits(individual_digits=True), p.Punctuation("contiguous"), bytes_by()]),
                             n.Sequence([n.NFD(), n.Lowercase(), n.StripAccents(), n.Strip()]))
    yield "llama2", sentence_piece_like(n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]), None)
    yield "mistral", sentence_piece_like(None, p.Metaspace(prepend_scheme="first", split=False))
    yield "gemma", sentence_piece_like(n.Replace(" ", "▁"), p.Split(" ", "merged_with_previous"))
    yield "bert", word_pieces(n.BertNormalizer(), p.BertPreTokenizer())
    yield "bert_cased", word_pieces(n.BertNormalizer(lowercase=False), p.Whitespace())
    yield "albert", unigram(n.NFKD(), p.Metaspace())
    yield "t5", unigram(n.Sequence([small_map(), n.Replace(Regex(" {2,}"), " ")]), p.Sequence(
        [p.WhitespaceSplit(), p.Metaspace()]))
    yield "xglm", unigram(n.NFC(), p.Metaspace(prepend_scheme="first"), True)


def tiktoken_golden():
    """A vocabulary in tiktoken's form, with tiktoken's ids of the first two texts for two of its rules."""
    import base64
    import tiktoken
    from tiktoken_ext import openai_public
    visible = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    others = [b for b in range(256) if b not in visible]
    spelled = {chr(b): b for b in visible} | {chr(0x100 + n): b for n, b in enumerate(others)}
    merges = json.loads(byte_pairs(bytes_by(LLAMA3)).to_str())["model"]["merges"]
    tokens = [bytes([b]) for b in range(256)] + [bytes(spelled[c] for c in "".join(merge)) for merge in merges]
    ranks = {token: rank for rank, token in enumerate(dict.fromkeys(tokens))}
    golden = {"file": "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())}
    # The constructors of tiktoken's encodings download vocabularies; here they are given this one.
    openai_public.load_tiktoken_bpe = lambda *_, **__: ranks
    for name, make in (("cl100k", openai_public.cl100k_base), ("o200k", openai_public.o200k_base)):
        encoding = tiktoken.Encoding(name, pat_str=make()["pat_str"], mergeable_ranks=ranks, special_tokens={})
        golden[name] = [encoding.encode_ordinary(text) for text in TEXTS[:2]]
    return golden


def main(out):
    out = pathlib.Path(out)
    out.mkdir(exist_ok=True)
    tiktoken = out.parent / "golden_tiktoken.json"
    tiktoken.write_text(json.dumps(tiktoken_golden(), separators=(",", ":")) + "\n", encoding="utf-8")
    size = tiktoken.stat().st_size
    for name, tokenizer in tokenizers():
        tokenizer.encode_special_tokens = True
        golden = {"texts": TEXTS, "file": json.loads(tokenizer.to_str()),
                  "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]}
        if name != "gpt2":
            del golden["texts"]  # those of gpt2.json
        file = out / f"{name}.json"
        file.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        size += file.stat().st_size
    print(f"{size} bytes in {out}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1] / "data" / "golden")
