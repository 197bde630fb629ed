"""GGUF files: llama.cpp computes the same logits, the gguf package reads the same numbers, texts get the same ids."""
import json
import pathlib
import tempfile
import unittest

from interop import InteropTest, MISSING, load, run, tensors, their_logits

if MISSING is None:
    import numpy
    import torch
    import test_export
    import test_tokenizers
    from models import make
    from test_export import HEAD_NORM, SIGMOID, TOPK

try:
    import gguf
    import llama_cpp
    NO_LLAMA = None
except ImportError as error:
    NO_LLAMA = str(error)

TOLERANCE = 1e-3  # times max(1, the largest logit), for weights in f32

# name of a model, what is changed, the architecture in llama.cpp. open: the shared experts' gates are always open by half.
CASES = [
    ("mixtral", {}, "llama"),
    ("mixtral, head width, tied", {}, "llama"),
    ("llama", {}, "llama"),
    ("llama, biases, llama3 positions", {}, "llama"),
    ("llama, linear positions", {}, "llama"),
    ("qwen3", {}, "qwen3"),
    ("qwen3_moe", {}, "qwen3moe"),
    ("qwen3_moe", {"norm_topk_prob": False, "num_key_value_heads": 4}, "dots1"),
    ("olmoe", {"num_key_value_heads": 4}, "olmoe"),
    ("qwen2_moe", {}, "qwen2moe"),
    ("qwen2_moe", {"open": True}, "bailingmoe"),
    ("qwen2_moe, renormalised", {"open": True, "tie_word_embeddings": True}, "bailingmoe"),
    ("dots1", {"num_key_value_heads": 4}, "dots1"),
    ("dots1, groups, not renormalised", {"num_key_value_heads": 4}, "dots1"),
]


# Trained runs: the architecture, settings.
def runs():
    all_keys = "model.attention.kv_heads=4"
    return {
        "default": ("llama", []),
        "linear positions": ("llama", ["model.attention.rope_scaling={kind: linear, factor: 2}"]),
        "head norms": ("qwen3moe", [HEAD_NORM, "model.attention.d_head=16", TOPK % (3, "true")]),
        "full norms": ("olmoe", [all_keys, "model.attention.qk_norm=full", TOPK % (2, "false"),
                                 "model.tie_embeddings=true"]),
        "not renormalised": ("bailingmoe", [TOPK % (2, "false"), "model.tie_embeddings=true"]),
        "shared experts": ("bailingmoe", ["moe.shared_experts=2"]),
        "sigmoid": ("dots1", [all_keys, HEAD_NORM, SIGMOID % ""]),
        "sigmoid, groups, shared": ("dots1", [all_keys, HEAD_NORM, SIGMOID % ", groups: 3, group_limit: 2, renormalise: "
                                              "false, scale: 1.5", "moe.shared_experts=1",
                                              "model.arrangement=[dense, moe, moe]"]),
    }


def log_probabilities(logits):
    return torch.log_softmax(logits.double(), dim=-1)


@unittest.skipIf(NO_LLAMA is not None, f"a package is absent: {NO_LLAMA}")
class Gguf(InteropTest):
    def llama_logits(self, path, ids):
        """(sequences, time, vocabulary) by llama.cpp, with keys and values in f32."""
        model = llama_cpp.Llama(str(path), n_ctx=256, n_batch=256, n_ubatch=256, logits_all=True, flash_attn=False,
                                type_k=0, type_v=0, n_threads=2, verbose=False)
        found = []
        for sequence in ids.tolist():
            model.reset()
            model.eval(sequence)
            found.append(torch.tensor(numpy.array(model.scores[:len(sequence)], dtype=numpy.float32)))
        model.close()
        return torch.stack(found)

    def imported(self, name, changes):
        changes = dict(changes)
        is_open = changes.pop("open", False)
        model = make(name, **changes)
        with torch.no_grad():
            for part, value in model.named_parameters():
                if is_open and "shared_expert_gate" in part:
                    value.zero_()
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        model.save_pretrained(folder / "theirs")
        run("moe-convert", "from-hf", folder / "theirs", folder / "ours")
        return model, folder

    def compare(self, name, path, model, vocab):
        ids, theirs, least, replaced = their_logits(model, vocab)
        found = self.llama_logits(path, ids)
        largest, difference = float(theirs.abs().max()), float((found - theirs).abs().max())
        print(f"{name:<46} difference {difference:.1e}, logits up to {largest:6.2f}, least margin {least:.1e}, "
              f"{replaced} replaced", flush=True)
        self.assertGreater(largest, 0.5)
        self.assertLessEqual(difference, TOLERANCE * max(1, largest))

    def test_logits_of_imported_models_are_the_same(self):
        for name, changes, architecture in CASES:
            with self.subTest(name, **changes):
                model, folder = self.imported(name, changes)
                said = run("moe-convert", "to-gguf", folder / "ours", folder / "model.gguf")
                self.assertIn(architecture + ",", said)
                self.compare(name + " as " + architecture, folder / "model.gguf", model, model.config.vocab_size)

    def test_logits_of_trained_models_are_the_same(self):
        for name, (architecture, settings) in runs().items():
            with self.subTest(name):
                ours = test_export.Export.train(self, name.replace(" ", "_").replace(",", ""), settings)
                said = run("moe-convert", "to-gguf", ours, ours / "model.gguf")
                self.assertIn(architecture + ",", said)
                run("moe-convert", "to-hf", ours, ours / "theirs")
                self.compare(f"run: {name} as {architecture}", ours / "model.gguf", load(ours / "theirs"), 256)

    def test_shorter_numbers_change_the_loss_little(self):
        # All experts are chosen, so that this measures numbers and no choices. Weights are random and large, which makes
        # much of small differences; llama.cpp also rounds the tokens' vectors to the weights' format.
        for word, most in (("f16", 3e-4), ("bf16", 2e-2), ("q8_0", 1.5e-1)):
            with self.subTest(word):
                model, folder = self.imported("mixtral", dict(hidden_size=64, intermediate_size=64,
                                                              num_experts_per_tok=6))
                run("moe-convert", "to-gguf", folder / "ours", folder / "model.gguf", "--dtype", word)
                ids, theirs, least, replaced = their_logits(model, model.config.vocab_size)
                found = log_probabilities(self.llama_logits(folder / "model.gguf", ids))
                exact = log_probabilities(theirs)
                divergence = float((exact.exp() * (exact - found)).sum(-1).mean())
                print(f"mixtral in {word:<5} divergence {divergence:.1e} nats", flush=True)
                self.assertLess(abs(divergence), most)

    def test_the_gguf_package_reads_the_same_numbers(self):
        for word in ("f32", "f16", "bf16", "q8_0"):
            with self.subTest(word):
                model, folder = self.imported("qwen3_moe", dict(hidden_size=64, moe_intermediate_size=32))
                run("moe-convert", "to-gguf", folder / "ours", folder / "model.gguf", "--dtype", word)
                reader = gguf.GGUFReader(folder / "model.gguf")
                exact = dict(model.state_dict())
                read = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
                for theirs, name in (("token_embd.weight", "model.embed_tokens.weight"),
                                     ("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight"),
                                     ("output_norm.weight", "model.norm.weight")):
                    expected = exact[name].numpy()
                    bound = 0 if word == "f32" else 1e-2 * numpy.abs(expected).max()
                    self.assertEqual(read[theirs].shape, expected.shape)
                    self.assertLessEqual(numpy.abs(read[theirs] - expected).max(), bound, theirs)
                self.assertEqual(read["blk.0.ffn_up_exps.weight"].shape, (8, 32, 64))
                run("moe-convert", "from-gguf", folder / "model.gguf", folder / "again")
                if word == "f32":
                    before = tensors(folder / "ours/checkpoints/step_00000000")
                    after = tensors(folder / "again/checkpoints/step_00000000")
                    self.assertEqual(sorted(before), sorted(after))
                    for key, value in before.items():
                        self.assertTrue(torch.equal(value, after[key]), key)

    def test_texts_get_the_same_ids(self):
        rare = "don't I'll 3.14 x=y; \t_a_ ## !! <unk> </s> <|pad|> <0x41>".split(" ")
        plain = test_tokenizers.text(1 << 20, rare)
        for name, content, options in (("byte", test_tokenizers.text(1 << 20), ()),
                                       ("bpe", test_tokenizers.text(1 << 20), ()),
                                       ("sentencepiece", plain, ("--vocab-size", "500"))):
            with self.subTest(name):
                self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
                tokenizers = test_tokenizers.Tokenizers()
                tokenizers.folder = self.folder
                if name == "bpe":
                    tokenizers.test_bpe()
                    ours = json.loads((self.folder / "ids.json").read_text())
                else:
                    _, ours = tokenizers.check(name, content, *options)
                run("moe-convert", "to-gguf", self.folder / "run", self.folder / "model.gguf")
                model = llama_cpp.Llama(str(self.folder / "model.gguf"), vocab_only=True, verbose=False)
                self.assertEqual(ours, model.tokenize(content.encode(), add_bos=False, special=False))
                print(f"llama.cpp: {len(ours)} ids of {name} are equal", flush=True)


if __name__ == "__main__":
    unittest.main()
