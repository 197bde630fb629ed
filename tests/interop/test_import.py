"""Models that transformers makes become runs of ours with the same logits, and go back to it bit by bit."""
import json
import unittest

from interop import InteropTest, MISSING, compare, load, our_logits, run, tensors, their_logits

if MISSING is None:
    import torch
    from models import MODELS, VOCAB, make


class Import(InteropTest):
    def test_logits_are_the_same(self):
        for name in MODELS:
            with self.subTest(name):
                model = make(name)
                folder = self.folder / name.replace(" ", "_").replace(",", "")
                model.save_pretrained(folder / "theirs")
                run("moe-convert", "from-hf", folder / "theirs", folder / "ours")
                ids, theirs, least, replaced = their_logits(model, model.config.vocab_size)
                compare(self, "import " + name, our_logits(folder / "ours", ids, folder), theirs, least, replaced)

    def test_weights_of_other_types_are_read(self):
        for dtype in (torch.bfloat16, torch.float16):
            with self.subTest(dtype):
                folder = self.folder / str(dtype)
                make("qwen3_moe").to(dtype).save_pretrained(folder / "theirs", max_shard_size="20kB")
                self.assertGreater(len(list((folder / "theirs").glob("*.safetensors"))), 3)
                run("moe-convert", "from-hf", folder / "theirs", folder / "ours")
                # Loaded again, because to(dtype) rounds the frequencies of the positions too.
                ids, theirs, least, replaced = their_logits(load(folder / "theirs"), VOCAB)
                compare(self, f"import {dtype}, shards", our_logits(folder / "ours", ids, folder), theirs, least,
                        replaced)

    def test_theirs_ours_theirs_is_bitwise(self):
        for name in MODELS:
            if name == "gpt2":
                continue
            with self.subTest(name):
                folder = self.folder / name.replace(" ", "_").replace(",", "")
                make(name).save_pretrained(folder / "theirs")
                run("moe-convert", "from-hf", folder / "theirs", folder / "ours")
                run("moe-convert", "to-hf", folder / "ours", folder / "again")
                run("moe-convert", "from-hf", folder / "again", folder / "ours2")
                before, after = tensors(folder / "theirs"), tensors(folder / "again")
                before.pop("lm_head.weight", None) if "lm_head.weight" not in after else None
                self.assertEqual(sorted(before), sorted(after))
                raised = "e_score_correction_bias" if "groups" in name else "none"
                for key, value in before.items():
                    if raised in key:
                        self.assertLess((value - value.min() - after[key]).abs().max(), 1e-6)
                    else:
                        self.assertTrue(torch.equal(value.float(), after[key].float()), key)
                ours, again = tensors(folder / "ours/checkpoints/step_00000000"), tensors(
                    folder / "ours2/checkpoints/step_00000000")
                self.assertEqual(sorted(ours), sorted(again))
                for key, value in ours.items():
                    if not (raised != "none" and key.endswith("router.bias")):
                        self.assertTrue(torch.equal(value, again[key]), key)

    def test_what_is_not_supported_is_refused_by_name(self):
        make("llama").save_pretrained(self.folder / "theirs")
        path = self.folder / "theirs" / "config.json"
        good = json.loads(path.read_text())
        for changes, reason in [
            (dict(rope_parameters=dict(rope_type="yarn", factor=2.0, rope_theta=1e4)), "yarn"),
            (dict(model_type="bert"), "bert"),
            (dict(hidden_act="relu"), "hidden_act"),
            (dict(layer_types=["sliding_attention"] * 3), "sliding_attention"),
            (dict(hidden_size=48), "shape"),
            (dict(num_hidden_layers=2), "no place"),
        ]:
            with self.subTest(reason):
                path.write_text(json.dumps({**good, **changes}))
                self.assertIn(reason, run("moe-convert", "from-hf", self.folder / "theirs", self.folder / "ours", code=4))
                self.assertFalse((self.folder / "ours").exists())


if __name__ == "__main__":
    unittest.main()
