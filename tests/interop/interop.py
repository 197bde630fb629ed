"""Helpers of the tests that compare this program with transformers."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("MOE_PROGRAMS", ROOT / "build" / "bin"))

try:
    import numpy
    import torch
    import transformers
    from safetensors import safe_open
    MISSING = None
except ImportError as error:  # the tests are skipped with this reason
    MISSING = str(error)

SEQUENCES, TIME = 16, 125
MARGIN = 1e-5  # a sequence with a smaller one is replaced, because rounding may decide which expert is chosen
TOLERANCE = 1e-4  # times max(1, the largest logit)


@unittest.skipIf(MISSING is not None, f"a package is absent: {MISSING}")
class InteropTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)


def run(program, *arguments, code=0):
    """Runs one of our programs, which must end with the given exit code; returns its messages."""
    done = subprocess.run([PROGRAMS / program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != code:
        raise AssertionError(f"{program} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return done.stderr + done.stdout


def tensors(path, prefix=""):
    """All tensors of a folder's safetensors files, or of one file."""
    path = pathlib.Path(path)
    found = {}
    for file in sorted(path.glob(prefix + "*.safetensors")) if path.is_dir() else [path]:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():
                found[name] = opened.get_tensor(name)
    return found


def our_logits(run_folder, ids, folder, checkpoint="last"):
    """(sequences, time, vocabulary) of one of our runs."""
    (folder / "ids.json").write_text(json.dumps(ids.tolist()))
    run("moe-convert", "logits", run_folder, folder / "ids.json", folder / "logits.safetensors", "--checkpoint",
        checkpoint)
    found = tensors(folder / "logits.safetensors")
    return torch.stack([found[f"logits.{i}"] for i in range(len(ids))])


def load(folder):
    # Eager attention is the layout's own arithmetic; other kinds are rearrangements of it.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


class Margins:
    """The smallest margin between the last chosen and the first unchosen expert, for each sequence of a batch."""

    def __init__(self, model):
        self.least = None
        self.config = model.config
        self.hooks = [module.register_forward_pre_hook(self.see) for name, module in model.named_modules()
                      if name.endswith(".gate") and hasattr(module, "weight")]

    def see(self, gate, inputs):
        x = inputs[0].detach().float()
        scores = x.reshape(SEQUENCES_OF(x, self.sequences), -1, x.shape[-1]) @ gate.weight.detach().float().T
        k = self.config.num_experts_per_tok
        least = torch.full(scores.shape[:2], float("inf"))
        if hasattr(gate, "e_score_correction_bias"):
            scores = torch.sigmoid(scores) + gate.e_score_correction_bias.detach()
            groups, limit = self.config.n_group, self.config.topk_group
            if limit < groups:
                grouped = scores.reshape(*scores.shape[:2], groups, -1)
                best = grouped.topk(2, dim=-1)[0].sum(-1)
                ranked = best.sort(dim=-1, descending=True)[0]
                least = torch.minimum(least, ranked[..., limit - 1] - ranked[..., limit])
                chosen = torch.zeros_like(best).scatter_(-1, best.topk(limit, dim=-1)[1], 1).bool()
                scores = torch.where(chosen[..., None], grouped, -torch.inf).reshape(scores.shape)
        else:
            scores = torch.softmax(scores, dim=-1)
        if k < scores.shape[-1]:
            ranked = scores.sort(dim=-1, descending=True)[0]
            least = torch.minimum(least, ranked[..., k - 1] - ranked[..., k])
        least = least.min(dim=1)[0]
        self.least = least if self.least is None else torch.minimum(self.least, least)

    def of(self, model, ids):
        self.least, self.sequences = None, len(ids)
        with torch.no_grad():
            logits = model(ids).logits
        return logits, self.least if self.least is not None else torch.full((len(ids),), float("inf"))


def SEQUENCES_OF(x, sequences):
    return sequences if x.dim() == 2 else x.shape[0]


def their_logits(model, vocab, seed=1):
    """Token ids, the model's logits for them, and the least margin; sequences with a narrow choice are replaced."""
    margins = Margins(model)
    generator = torch.Generator().manual_seed(seed)
    kept, logits, least, replaced = [], [], float("inf"), 0
    while len(kept) < SEQUENCES:
        ids = torch.randint(0, vocab, (SEQUENCES, TIME), generator=generator)
        found, margin = margins.of(model, ids)
        for i in range(SEQUENCES):
            if margin[i] < MARGIN:
                replaced += 1
            elif len(kept) < SEQUENCES:
                kept.append(ids[i])
                logits.append(found[i])
                least = min(least, float(margin[i]))
        if replaced > 100 * SEQUENCES:
            raise AssertionError("nearly every sequence has a narrow choice")
    for hook in margins.hooks:
        hook.remove()
    return torch.stack(kept), torch.stack(logits), least, replaced


def compare(test, name, ours, theirs, least, replaced):
    largest = float(theirs.abs().max())
    difference = float((ours - theirs).abs().max())
    print(f"{name:<46} difference {difference:.1e}, logits up to {largest:6.2f}, least margin {least:.1e}, "
          f"{replaced} replaced", flush=True)
    test.assertGreater(largest, 0.5, "logits that are all small show nothing")
    test.assertLessEqual(difference, TOLERANCE * max(1, largest))
