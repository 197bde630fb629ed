#!/usr/bin/env python3
"""PyTorch's counterpart of `moe-bench ops`: the same ops at the same shapes, one JSON line per row with the median of
five measurements.

    torch_ops.py [--only PART] [--seconds S]      S: duration of one measurement

Peers: F.grouped_mm (bf16 in and out, its dW too; also followed by a compiled GELU or SwiGLU), SDPA by
FlashAttention-2 and by cuDNN, index_select and a compiled gather-sum, rms_norm and cross-entropy by torch.compile,
fused AdamW.
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

parser = argparse.ArgumentParser()
parser.add_argument("--only", default="")
parser.add_argument("--seconds", type=float, default=0.2)
arguments = parser.parse_args()
only = arguments.only
torch.manual_seed(1)
name = torch.cuda.get_device_name()


def random(*shape, dtype=torch.bfloat16):
    return torch.empty(*shape, device="cuda", dtype=dtype).uniform_(-1, 1)


def measure(op, shape, run, flops=0, size=0, who="torch"):
    def seconds(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / repeats

    seconds(3)
    repeats = max(1, int(arguments.seconds / max(seconds(2), 1e-7)))
    times = sorted(seconds(repeats) for _ in range(5))
    line = {"bench": "op", "op": op, "shape": shape, "who": who, "dtype": "bf16", "device": name,
            "us": times[2] * 1e6, "us_min": times[0] * 1e6, "us_max": times[4] * 1e6}
    if flops:
        line["tflops"] = flops / times[2] / 1e12
    if size:
        line["gbps"] = size / times[2] / 1e9
    print(json.dumps(line), flush=True)


def wants(*ops):
    return any(only in op for op in ops)


if wants("copy"):
    x = random(2**30)
    y = torch.empty_like(x)
    measure("copy", "1073741824 elements", lambda: y.copy_(x), size=4 * x.numel())
    del x, y
if wants("dense"):
    x, w = random(8192, 8192), random(8192, 8192)
    measure("dense", "8192x8192x8192", lambda: x @ w.t(), flops=2 * 8192**3)
    del x, w

grouped = getattr(F, "grouped_mm", None) or torch._grouped_mm
for experts, d, f, rows in ((64, 768, 3072, 65536), (64, 768, 3072, 131072), (64, 768, 768, 524288), (8, 768, 3072, 131072),
                            (16, 512, 2048, 131072)):
    if not wants("grouped_forward", "grouped_input", "grouped_weight"):
        break
    shape, flops = f"E{experts} d{d} f{f} rows{rows}", 2 * rows * d * f
    x, dy, w = random(rows, d), random(rows, f), random(experts, f, d)
    ends = (torch.arange(1, experts + 1, device="cuda") * rows // experts).to(torch.int32)
    measure("grouped_forward", shape, lambda: grouped(x, w.transpose(1, 2), offs=ends), flops)
    measure("grouped_input", shape, lambda: grouped(dy, w, offs=ends), flops)
    measure("grouped_weight", shape, lambda: grouped(dy.t(), x, offs=ends), flops)
    del x, dy, w

compiled_gelu = torch.compile(lambda z: F.gelu(z, approximate="tanh"))
if wants("grouped_gelu"):
    experts, d, f, rows = 64, 768, 3072, 131072
    x, w = random(rows, d), random(experts, f, d)
    ends = (torch.arange(1, experts + 1, device="cuda") * rows // experts).to(torch.int32)
    measure("grouped_gelu", f"E{experts} d{d} f{f} rows{rows}",
            lambda: compiled_gelu(grouped(x, w.transpose(1, 2), offs=ends)), 2 * rows * d * f)
    del x, w

compiled_swiglu = torch.compile(lambda z: F.silu(z[:, :z.shape[1] // 2]) * z[:, z.shape[1] // 2:])
for experts, d, f, rows in ((64, 768, 384, 524288), (8, 768, 2048, 131072)):
    if not wants("grouped_swiglu"):
        break
    x, w = random(rows, d), random(experts, 2 * f, d)
    ends = (torch.arange(1, experts + 1, device="cuda") * rows // experts).to(torch.int32)
    measure("grouped_swiglu", f"E{experts} d{d} f{f} rows{rows}",
            lambda: compiled_swiglu(grouped(x, w.transpose(1, 2), offs=ends)), 4 * rows * d * f)
    del x, w

for heads, d_head, length in ((12, 64, 1024), (12, 64, 2048), (12, 64, 4096), (16, 128, 2048)):
    if not wants("attention_forward", "attention_backward"):
        break
    batch = 16384 // length
    shape, flops = f"B{batch} T{length} H{heads} d{d_head} causal", 2 * 16384 * length * heads * d_head
    q, k, v = (random(batch, heads, length, d_head).requires_grad_() for _ in range(3))
    g = random(batch, heads, length, d_head)
    for who, backend in (("torch-fa2", SDPBackend.FLASH_ATTENTION), ("torch-cudnn", SDPBackend.CUDNN_ATTENTION)):
        try:
            with sdpa_kernel([backend]):
                def forward():
                    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
                measure("attention_forward", shape, forward, flops, who=who)
                out = forward()
                measure("attention_backward", shape, lambda: torch.autograd.grad(out, (q, k, v), g, retain_graph=True),
                        2.5 * flops, who=who)
        except RuntimeError as error:
            print(json.dumps({"op": "attention", "shape": shape, "who": who, "error": str(error).splitlines()[0][:120]}))

for k in (2, 8):
    if not wants("permute", "combine"):
        break
    tokens, d = 65536, 768
    shape, size = f"tokens{tokens} d{d} k{k} E64", 2 * tokens * d * (1 + k)
    x, rows, weights = random(tokens, d), random(tokens * k, d), random(tokens, k, 1)
    order = torch.randperm(tokens * k, device="cuda")
    back, source = torch.argsort(order), order // k
    measure("permute_forward", shape, lambda: x.index_select(0, source), size=size)
    combine = torch.compile(lambda r, w: (r.index_select(0, back).view(tokens, k, d) * w).sum(1))
    measure("combine_forward", shape, lambda: combine(rows, weights), size=size)
if wants("rms_norm_forward"):
    x, w = random(65536, 768), random(768)
    norm = torch.compile(lambda a, b: F.rms_norm(a, (768,), b, 1e-5))
    measure("rms_norm_forward", "tokens65536 d768", lambda: norm(x, w), size=2 * 2 * x.numel())
if wants("cross_entropy"):
    z = random(16384, 50304).requires_grad_()
    t = torch.full((16384,), 3, device="cuda")
    loss = torch.compile(lambda a, b: F.cross_entropy(a.float(), b, reduction="sum"))
    measure("cross_entropy", "tokens16384 vocab50304", lambda: torch.autograd.grad(loss(z, t), z), size=2 * 2 * z.numel())
if wants("adamw"):
    p = torch.nn.Parameter(random(268435456, dtype=torch.float32))
    p.grad = random(268435456, dtype=torch.float32)
    optimizer = torch.optim.AdamW([p], fused=True)
    measure("adamw", "parameters268435456", optimizer.step, size=28 * p.numel())
