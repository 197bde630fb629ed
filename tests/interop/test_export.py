"""Trained runs compute the same in transformers, and come back bit by bit."""
import json
import os
import unittest

from interop import InteropTest, MISSING, compare, load, our_logits, run, tensors, their_logits

if MISSING is None:
    import torch

BASE = ["model.layers=3", "model.d_model=32", "model.attention.heads=4", "model.attention.kv_heads=2",
        "model.init_std=0.2", "moe.experts=6", "moe.d_ff=24", "data.sequence=128", "train.batch=4", "train.steps=12",
        "train.learning_rate={kind: constant, value: 0.01}", "evaluate.every=6", "parallel.threads=1"]
HEAD_NORM = "model.attention.qk_norm=head"
TOPK = "moe.router={kind: topk, k: %d, softmax: all, renormalise: %s}"
SIGMOID = "moe.router={kind: sigmoid_bias, k: 2, rate: 0.05%s}"

# layout, settings of the run
RUNS = {
    "default": ("mixtral", []),
    "k 3, tied, head width": ("mixtral", [TOPK % (3, "true"), "model.tie_embeddings=true",
                                          "model.attention.d_head=12"]),
    "constant temperature": ("mixtral", ["moe.router={kind: topk, temperature: 0.7}"]),
    "learned temperature": ("mixtral", ["moe.router={kind: temperature, temperature: 0.6}"]),
    "noisy_topk": ("mixtral", ["moe.router={kind: noisy_topk, k: 2}"]),
    "gshard": ("mixtral", ["moe.router={kind: gshard}"]),
    "sinkhorn": ("mixtral", ["moe.router={kind: sinkhorn}"]),
    "random_frozen": ("mixtral", ["moe.router={kind: random_frozen}"]),
    "reinforce": ("mixtral", ["moe.router=reinforce"]),
    "bayesian": ("mixtral", ["moe.router=bayesian"]),
    "bayesian, ensemble": ("mixtral", ["moe.router={kind: bayesian, posterior: ensemble}"]),
    "hyper": ("mixtral", ["moe.router={kind: hyper, form: ours}"]),
    "uniform": ("mixtral", ["moe.router={kind: uniform}"]),
    "compete": ("mixtral", ["moe.strategy={kind: compete, probability: 0.5}"]),
    "stochastic": ("mixtral", ["moe.strategy={kind: stochastic}"]),
    "contrastive": ("mixtral", ["moe.strategy={kind: contrastive}"]),
    "change": ("mixtral", ["moe.strategy={kind: change, first: plain, then: compete}"]),
    "capacity in training": ("mixtral", ["moe.capacity=1.25"]),
    "head norms": ("qwen3_moe", [HEAD_NORM]),
    "head norms, dense layers": ("qwen3_moe", [HEAD_NORM, "model.arrangement=glam", "model.attention.d_head=16",
                                               TOPK % (1, "false")]),
    "full norms": ("olmoe", ["model.attention.qk_norm=full", TOPK % (2, "false")]),
    "full norms, renormalised": ("olmoe", ["model.attention.qk_norm=full", TOPK % (3, "true")]),
    "switch": ("qwen2_moe", ["moe.router={kind: switch}"]),
    "not renormalised": ("qwen2_moe", [TOPK % (2, "false")]),
    "shared expert": ("qwen2_moe", ["moe.shared_experts=2"]),
    "shared expert, gate, biases": ("qwen2_moe", ["moe.shared_experts=1", "moe.shared_gate=true",
                                                  "model.bias.attention=qkv", "model.arrangement=dense_moe"]),
    "sigmoid": ("dots1", [HEAD_NORM, SIGMOID % ""]),
    "sigmoid, groups, shared": ("dots1", [HEAD_NORM, SIGMOID % ", groups: 3, group_limit: 2, renormalise: false, "
                                          "scale: 1.5", "moe.shared_experts=1", "model.arrangement=[dense, moe, moe]"]),
    "dense": ("llama", ["model.arrangement=dense"]),
    "dense, biases": ("llama", ["model.arrangement=dense", "model.bias.attention=all", "model.bias.feed_forward=true"]),
    "dense, head norms": ("qwen3", ["model.arrangement=dense", HEAD_NORM]),
}

# settings of a run, what the refusal must name
REFUSED = {
    "expert choice": (["moe.router={kind: expert_choice, group: batch}"], "moe.router: expert_choice"),
    "cosine": (["moe.router={kind: cosine}"], "moe.router: cosine"),
    "hash": (["moe.router={kind: hash}"], "moe.router: hash"),
    "relu": (["moe.router={kind: relu}"], "moe.router: relu"),
    "stable": (["moe.router={kind: stable, stage1: 6}"], "moe.router: stable"),
    "hyper, source": (["moe.router={kind: hyper}"], "moe.router: hyper"),
    "hierarchical": (["moe.strategy={kind: hierarchical, groups: 2}"], "moe.strategy: hierarchical"),
    "capacity": (["moe.capacity={kind: fixed, factor: 1, evaluation: 1}"], "moe.capacity"),
    "activation": (["model.activation=relu"], "model.activation"),
    "layer norm": (["model.norm=layer"], "model.norm"),
    "post norm": (["model.norm_place=post"], "model.norm_place"),
    "positions": (["model.attention.position=learned"], "model.attention.position"),
    "router bias": (["model.bias.router=true"], "model.bias.router"),
    "layers that differ": (["moe.layers=[{at: 0, experts: 4}]"], "moe.layers"),
    "no layout": (["moe.router={kind: sigmoid_bias, k: 2}"], "mixtral"),
}


class Export(InteropTest):
    def train(self, name, settings):
        text = self.folder / "text"
        if not text.exists():
            text.write_text("".join(f"line {i * i % 977} of a text, with words\n" for i in range(3000)))
            run("moe-data", "prepare", "-i", text, "-o", self.folder / "corpus", "--tokenizer", "byte",
                "--split", "90/10/0")
        settings = BASE + ["folder=" + str(self.folder), "name=" + name, "data.path=" + str(self.folder / "corpus"),
                           *settings]
        run("moe-train", *[part for setting in settings for part in ("--set", setting)])
        return self.folder / name

    def test_logits_are_the_same_and_weights_come_back(self):
        only = os.environ.get("MOE_ONLY", "")  # a part of the runs, by their names
        for name, (layout, settings) in RUNS.items():
            if only not in name:
                continue
            with self.subTest(name):
                ours = self.train(name.replace(" ", "_").replace(",", ""), settings)
                theirs, again = ours / "theirs", ours / "again"
                said = run("moe-convert", "to-hf", ours, theirs, "--shard-size", "30KB")
                self.assertIn(layout + ",", said)
                self.assertTrue((theirs / "model.safetensors.index.json").exists())
                model = load(theirs)
                self.assertEqual(model.config.model_type, layout)
                ids, logits, least, replaced = their_logits(model, 256)
                compare(self, f"export {name} as {layout}", our_logits(ours, ids, self.folder), logits, least, replaced)
                if "temperature" not in name and name not in ("hyper", "uniform", "random_frozen"):
                    run("moe-convert", "from-hf", theirs, again)
                    self.same_weights(name, ours, again)

    def same_weights(self, name, ours, again):
        """Ours, theirs, ours is bitwise; with groups, all but the bias."""
        before = tensors(ours / "checkpoints/step_00000012", "model")
        after = tensors(again / "checkpoints/step_00000000")
        training = ("noise", "merge_gate", "prototypes")
        before = {key: value for key, value in before.items() if not any(part in key for part in training)}
        self.assertEqual(sorted(before), sorted(after))
        for key, value in before.items():
            if not ("groups" in name and key.endswith("router.bias")):
                self.assertTrue(torch.equal(value, after[key]), key)
        for file in ("tokenizer.json",):
            texts = [next(path.glob(f"checkpoints/*/{file}")).read_text() for path in (ours, again)]
            self.assertEqual(*map(json.loads, texts))

    def test_half_precision_rounds_to_nearest(self):
        ours = self.train("half", [])
        run("moe-convert", "to-hf", ours, self.folder / "f32")
        exact = tensors(self.folder / "f32")
        for word, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
            run("moe-convert", "to-hf", ours, self.folder / word, "--dtype", word)
            for key, value in tensors(self.folder / word).items():
                self.assertTrue(torch.equal(value, exact[key].to(dtype)), key)

    def test_what_has_no_layout_is_refused_by_name(self):
        for name, (settings, reason) in REFUSED.items():
            with self.subTest(name):
                ours = self.train(name.replace(" ", "_").replace(",", ""), settings)
                self.assertIn(reason, run("moe-convert", "to-hf", ours, self.folder / "theirs", code=2))
                self.assertFalse((self.folder / "theirs").exists())


if __name__ == "__main__":
    unittest.main()
