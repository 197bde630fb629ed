#!/usr/bin/env python3
"""llama.cpp's counterpart of `moe-bench generate`: the same prompt and number of tokens with an exported model (GGUF,
f32), by llama.cpp's own times (llama_perf_context). Prints one JSON line with the medians of the rounds.

    llama_generate.py MODEL.gguf [--prompt N] [--tokens N] [--rounds N] [--threads N]

Needs the package llama-cpp-python. Keys and values are in f32, as ours.
"""
import argparse
import json
import statistics

import llama_cpp

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--prompt", type=int, default=128)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
context = options.prompt + options.tokens + 8
model = llama_cpp.Llama(options.model, n_ctx=context, n_batch=context, n_ubatch=context, n_threads=options.threads,
                        n_threads_batch=options.threads, flash_attn=False, type_k=llama_cpp.GGML_TYPE_F32,
                        type_v=llama_cpp.GGML_TYPE_F32, verbose=False)
vocabulary = model.n_vocab()


def measure():
    model.reset()
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(model.ctx), True)
    llama_cpp.llama_perf_context_reset(model.ctx)
    model.eval([(7919 * i + 13) % vocabulary for i in range(options.prompt)])
    for _ in range(options.tokens):
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        best = max(range(0, vocabulary, max(1, vocabulary // 64)), key=lambda i: logits[i])  # cheap: any token will do
        model.eval([best])
    perf = llama_cpp.llama_perf_context(model.ctx)
    return perf.t_p_eval_ms, perf.t_eval_ms / perf.n_eval


measure()
prompt, token = zip(*(measure() for _ in range(options.rounds)))
prompt_ms, token_ms = statistics.median(prompt), statistics.median(token)
print(json.dumps({"who": "llama.cpp", "threads": options.threads, "prompt": options.prompt, "prompt_ms": prompt_ms,
                  "token_ms": token_ms, "prompt_tokens_per_s": 1e3 * options.prompt / prompt_ms,
                  "tokens_per_s": 1e3 / token_ms}))
