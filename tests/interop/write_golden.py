"""Writes tests/convert/golden: for each layout a tiny model of transformers in bf16, token ids and their logits."""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

from interop import Margins
from models import MODELS, make

SMALL = dict(vocab_size=23, hidden_size=8, num_hidden_layers=2, max_position_embeddings=32)
NAMES = ["mixtral, head width, tied", "qwen3_moe, not renormalised, a dense layer", "olmoe", "qwen2_moe",
         "dots1, groups, not renormalised", "llama, biases, llama3 positions", "qwen3", "gpt2"]


def main(out):
    for name in NAMES:
        layout = name.split(",")[0]
        changes = dict(SMALL)
        if layout != "gpt2":
            if "moe_intermediate_size" in MODELS[name][1]:
                changes.update(moe_intermediate_size=4)
            changes.update(intermediate_size=4)
            if layout == "qwen2_moe":
                changes.update(shared_expert_intermediate_size=8)
            if "rope_parameters" in MODELS[name][1]:
                changes.update(rope_parameters=dict(MODELS[name][1]["rope_parameters"],
                                                    original_max_position_embeddings=16))
            model = make(name, **changes)
        else:
            model = make(name, small=True)
        with torch.no_grad():  # weights alone: the frequencies of positions are computed in f32
            for value in model.parameters():
                value.copy_(value.to(torch.bfloat16).float())
        folder = pathlib.Path(out) / layout
        generator = torch.Generator().manual_seed(3)
        margins = Margins(model)
        while True:
            ids = torch.randint(0, 23, (1, 20), generator=generator)
            logits, least = margins.of(model, ids)
            if float(least.min()) > 1e-3:
                break
        for hook in margins.hooks:
            hook.remove()
        model.to(torch.bfloat16).save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "ids.json").write_text(json.dumps(ids.tolist()) + "\n")
        save_file({"logits.0": logits[0].float().contiguous()}, folder / "logits.safetensors")
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{layout}: {size} bytes, margin {float(least.min()):.1e}, logits up to {float(logits.abs().max()):.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1] / "convert" / "golden")
