"""Writes tests/data/golden: small tokenizer.json files, with the ids that Hugging Face's tokenizers give for texts."""
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
        vocab_size=300, min_frequency=1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"], show_progress=False))
    tokenizer.add_tokens(list(added))
    return tokenizer


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


def main(out):
    out = pathlib.Path(out)
    out.mkdir(exist_ok=True)
    size = 0
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
