"""A text has the same ids in transformers as in the training data: a megabyte with blank lines and runs of blanks."""
import json
import random
import unittest

from interop import InteropTest, MISSING, run

if MISSING is None:
    import transformers

WORDS = "the of and to in a is that for it was on are as with his they at be this from have or by one had not but what"


def text(size, letters=""):
    """Words, blank lines, runs of blanks and tabs, and rare characters."""
    draw = random.Random(7)
    words = WORDS.split()
    rare = letters or ("é ß 日本 Ω ÿ Ā ▁ <unk> <eos> </s> <s> <|endoftext|> <|pad|> <0x41> don't I'll 3.14 x=y; "
                       "\u00a0 \u2003 🙂 Ⅷ ١٢ _a_ ## !! \r\n").split(" ")
    parts, length = [], 0
    while length < size:
        part = draw.choice(words) if draw.random() < 0.8 else draw.choice(rare)
        part += draw.choice([" "] * 12 + ["  ", "   ", "\n", "\n\n", "\n\n\n", "\t", " \n", "\n "] if not letters else [" "])
        parts.append(part)
        length += len(part.encode())
    return "".join(parts)


class Tokenizers(InteropTest):
    def check(self, name, content, *options):
        source = self.folder / "source"
        source.write_bytes(content.encode())
        run("moe-data", "prepare", "-i", source, "-o", self.folder / "corpus", "--tokenizer", name,
            "--split", "98/1/1", *options)
        run("moe-train", *[part for setting in (
            f"folder={self.folder}", "name=run", f"data.path={self.folder / 'corpus'}", "model.layers=1",
            "model.d_model=8", "model.attention.heads=1", "moe.experts=2", "moe.router={kind: topk, k: 1, softmax: all, "
            "renormalise: false}", "data.sequence=16", "train.batch=2", "train.steps=1", "evaluate.every=0",
            "parallel.threads=1") for part in ("--set", setting)])
        run("moe-convert", "to-hf", self.folder / "run", self.folder / "theirs")
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder / "theirs")
        theirs = tokenizer(content, add_special_tokens=False)["input_ids"]
        run("moe-convert", "ids", self.folder / "run", source, self.folder / "ids.json")
        ours = json.loads((self.folder / "ids.json").read_text())
        where = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
        if where is not None:
            self.fail(f"{name}: id {where} differs: ours {ours[where - 5:where + 5]}, theirs "
                      f"{tokenizer.convert_ids_to_tokens(theirs[where - 5:where + 5])}")
        self.assertEqual(len(ours), len(theirs))
        self.assertIn(tokenizer.pad_token_id, range(len(tokenizer)))
        print(f"tokenizer {name}: {len(ours)} ids are equal, pad {tokenizer.pad_token_id} {tokenizer.pad_token!r}")
        return tokenizer, ours

    def test_byte(self):
        content = text(1 << 20)
        tokenizer, ids = self.check("byte", content)
        self.assertEqual(tokenizer.decode(ids, skip_special_tokens=True), content)

    def test_char(self):
        letters = "ab c dd e fgh ij klm"
        content = text(1 << 20, letters.split(" "))
        tokenizer, ids = self.check("char", content)
        self.assertEqual(tokenizer.decode(ids), content)

    def test_word(self):
        self.check("word", text(1 << 20), "--min-count", "3")

    def test_bpe(self):
        vocabulary = self.folder / "vocabulary"
        vocabulary.mkdir()
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
        learned = Tokenizer(models.BPE())
        learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        content = text(1 << 20)
        learned.train_from_iterator([content], trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"],
            show_progress=False))
        learned.model.save(str(vocabulary))
        tokenizer, ids = self.check("bpe", content, "--vocabulary", vocabulary)
        self.assertEqual(tokenizer.decode(ids), content)
        self.assertEqual(tokenizer.eos_token, "<|endoftext|>")

    def test_sentencepiece(self):
        content = text(1 << 20).replace("\r\n", "\n")
        tokenizer, ids = self.check("sentencepiece", content, "--vocab-size", "500")
        self.assertEqual(tokenizer.decode(ids), content.replace("▁", " "))


if __name__ == "__main__":
    unittest.main()
