"""Small models of every layout with random weights, made by transformers."""
import torch
import transformers

VOCAB = 97
# Weights of this size give logits of about 1 to 10 and experts that differ.
STD = 0.25

COMMON = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=256, initializer_range=STD, bos_token_id=None, eos_token_id=None,
              pad_token_id=0)
ROPE = dict(rope_parameters=dict(rope_type="default", rope_theta=5000.0))
MOE = dict(moe_intermediate_size=24, intermediate_size=40)

# name: class of the configuration, its keys. What varies: k, renormalisation, shared experts, biases, groups, dense
# layers, tied heads, widths of heads, scaling of rotary positions.
MODELS = {
    "mixtral": (transformers.MixtralConfig, dict(num_local_experts=6, num_experts_per_tok=2, intermediate_size=24)),
    "mixtral, head width, tied": (transformers.MixtralConfig, dict(
        num_local_experts=4, num_experts_per_tok=3, intermediate_size=24, head_dim=12, tie_word_embeddings=True)),
    "qwen3_moe": (transformers.Qwen3MoeConfig, dict(
        MOE, num_experts=8, num_experts_per_tok=3, norm_topk_prob=True, head_dim=16)),
    "qwen3_moe, not renormalised, a dense layer": (transformers.Qwen3MoeConfig, dict(
        MOE, num_experts=5, num_experts_per_tok=1, norm_topk_prob=False, head_dim=8, mlp_only_layers=[1])),
    "qwen3_moe, every second layer, biases": (transformers.Qwen3MoeConfig, dict(
        MOE, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True, decoder_sparse_step=2, attention_bias=True)),
    "olmoe": (transformers.OlmoeConfig, dict(
        num_experts=8, num_experts_per_tok=3, norm_topk_prob=False, intermediate_size=24)),
    "olmoe, renormalised": (transformers.OlmoeConfig, dict(
        num_experts=4, num_experts_per_tok=2, norm_topk_prob=True, intermediate_size=24)),
    "qwen2_moe": (transformers.Qwen2MoeConfig, dict(
        MOE, num_experts=6, num_experts_per_tok=2, norm_topk_prob=False, shared_expert_intermediate_size=48)),
    "qwen2_moe, renormalised": (transformers.Qwen2MoeConfig, dict(
        MOE, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True, shared_expert_intermediate_size=24)),
    "qwen2_moe, renormalised, a dense layer": (transformers.Qwen2MoeConfig, dict(
        MOE, num_experts=4, num_experts_per_tok=3, norm_topk_prob=True, shared_expert_intermediate_size=24,
        mlp_only_layers=[0])),
    "dots1": (transformers.Dots1Config, dict(
        MOE, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1, norm_topk_prob=True)),
    "dots1, groups, not renormalised": (transformers.Dots1Config, dict(
        MOE, n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=2, n_group=4, topk_group=2,
        norm_topk_prob=False, routed_scaling_factor=2.5, first_k_dense_replace=1)),
    "llama": (transformers.LlamaConfig, dict(intermediate_size=40)),
    "llama, biases, llama3 positions": (transformers.LlamaConfig, dict(
        intermediate_size=40, attention_bias=True, mlp_bias=True, rope_parameters=dict(
            rope_type="llama3", rope_theta=5000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64))),
    "llama, linear positions": (transformers.LlamaConfig, dict(
        intermediate_size=40, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="linear", rope_theta=5000.0, factor=2.0))),
    "qwen3": (transformers.Qwen3Config, dict(intermediate_size=40, head_dim=16)),
    "qwen3, biases": (transformers.Qwen3Config, dict(intermediate_size=40, head_dim=8, attention_bias=True)),
    "gpt2": (transformers.GPT2Config, None),
}


def make(name, seed=0, small=False, **changes):
    """The model, with norms, biases and selection biases that are not what they start as."""
    torch.manual_seed(seed)
    kind, keys = MODELS[name]
    if kind is transformers.GPT2Config:
        size = dict(vocab_size=23, n_embd=8, n_layer=2, n_positions=32) if small else dict(
            vocab_size=VOCAB, n_embd=32, n_layer=3, n_positions=128)
        config = kind(n_head=4, initializer_range=STD, bos_token_id=None, eos_token_id=None, **size)
    else:
        config = kind(**{**COMMON, **ROPE, **keys, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for part, value in [*model.named_parameters(), *model.named_buffers()]:
            if part.endswith("e_score_correction_bias"):
                value.copy_(0.3 * torch.randn_like(value))
            elif part.endswith("bias"):
                value.copy_(0.2 * torch.randn_like(value))
            elif "norm" in part or "ln_" in part:
                value.copy_(1 + 0.2 * torch.randn_like(value))
            elif part.endswith(".gate.weight"):
                value.copy_(0.5 * torch.randn_like(value))
    return model.float().eval()
