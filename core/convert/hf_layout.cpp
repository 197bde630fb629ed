#include "core/convert/hf_layout.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/convert/exportable.h"
#include "core/convert/layout_checks.h"

namespace moe {

namespace {

// ---- what several layouts demand besides layout_checks.h ----

void check_no_bias(const PlainModel& m, Reasons& reasons) {
  unless(!m.qkv_bias && !m.attention_output_bias, "its attention has no biases", reasons);
}
// attention_bias: all four projections or none.
void check_whole_bias(const PlainModel& m, Reasons& reasons) {
  unless(m.qkv_bias == m.attention_output_bias, "its attention has biases everywhere or nowhere", reasons);
}
// Layers with experts as Qwen writes them: a list of dense layers.
void write_mixed_layers(const PlainModel& m, Json& config) {
  Json dense = Json::array();
  for (size_t i = 0; i < m.is_moe.size(); ++i) {
    if (!m.is_moe[i]) dense.push_back(i);
  }
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = std::move(dense);
}
void read_mixed_layers(const HfConfig& config, PlainModel& m) {
  const int64_t step = config.integer("decoder_sparse_step", 1);
  const std::vector<int64_t> dense = config.integers("mlp_only_layers");
  for (int64_t i = 0; i < m.layers; ++i) {
    const bool listed = std::find(dense.begin(), dense.end(), i) != dense.end();
    m.is_moe[as_index(i)] = !listed && step > 0 && (i + 1) % step == 0;
  }
}

void write_experts(const PlainModel& m, const char* count, Json& config) {
  config[count] = m.experts.count;
  config["num_experts_per_tok"] = m.experts.routing.k;
  config["output_router_logits"] = false;
  config["router_aux_loss_coef"] = 0.001;
}
void read_experts(const HfConfig& config, const char* count, PlainModel& m) {
  m.is_moe.assign(as_index(m.layers), true);
  m.experts.count = config.integer(count);
  m.experts.routing.k = config.integer("num_experts_per_tok");
}
void refuse_windows(const HfConfig& config) {
  if (config.flag("use_sliding_window", false))
    raise<CheckpointError>("{}: use_sliding_window is true; attention to a window of tokens is not supported",
                           config.path());
}
void require_no_window(const HfConfig& config) {
  config.require("sliding_window", {});
}
void read_attention_bias(const HfConfig& config, PlainModel& m) {
  m.qkv_bias = m.attention_output_bias = config.flag("attention_bias", false);
}

bool is_zero(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return x == 0; });
}
// Whether a tensor is zero in all layers that have it.
bool is_zero_everywhere(const ForeignTensors& tensors, const std::string& part) {
  for (const std::string& name : tensors.names()) {
    if (name.ends_with(part) && !is_zero(tensors.read(name))) return false;
  }
  return true;
}

// ---- Mixtral ----

TensorNames mixtral_names() {
  TensorNames n;
  n.router = "model.layers.{i}.block_sparse_moe.gate";
  n.expert_gate = "model.layers.{i}.block_sparse_moe.experts.{e}.w1";
  n.expert_up = "model.layers.{i}.block_sparse_moe.experts.{e}.w3";
  n.expert_down = "model.layers.{i}.block_sparse_moe.experts.{e}.w2";
  return n;
}
void check_mixtral(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  check_no_bias(m, reasons);
  check_renormalised(m, true, reasons);
}
void write_mixtral(const PlainModel& m, Json& config) {
  write_experts(m, "num_local_experts", config);
  config["intermediate_size"] = m.experts.d_ff;
  config["router_jitter_noise"] = 0.0;
  config["sliding_window"] = nullptr;
}
void read_mixtral(const HfConfig& config, PlainModel& m) {
  read_experts(config, config.has("num_local_experts") ? "num_local_experts" : "num_experts", m);
  m.experts.d_ff = config.integer("intermediate_size");
  require_no_window(config);
}

// ---- Qwen3-MoE ----

void check_qwen3_moe(const PlainModel& m, Reasons& reasons) {
  unless(m.has_experts(), "it has experts", reasons);
  check_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_whole_bias(m, reasons);
}
void write_norm_topk(const PlainModel& m, Json& config) {
  config["norm_topk_prob"] = m.experts.routing.renormalise;
}
void write_qwen3_moe(const PlainModel& m, Json& config) {
  write_experts(m, "num_experts", config);
  write_norm_topk(m, config);
  write_mixed_layers(m, config);
  config["moe_intermediate_size"] = m.experts.d_ff;
  config["intermediate_size"] = m.d_ff;
  config["attention_bias"] = m.qkv_bias;
  config["use_sliding_window"] = false;
  config["sliding_window"] = nullptr;
}
void read_qwen3_moe(const HfConfig& config, PlainModel& m) {
  read_experts(config, config.has("num_experts") ? "num_experts" : "num_local_experts", m);
  read_mixed_layers(config, m);
  m.qk_norm = QkNorm::head;
  m.experts.routing.renormalise = config.flag("norm_topk_prob", false);
  m.experts.d_ff = config.integer("moe_intermediate_size");
  m.d_ff = config.integer("intermediate_size", m.experts.d_ff);
  read_attention_bias(config, m);
  refuse_windows(config);
}

// ---- OLMoE ----

void check_olmoe(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_qk_norm(m, QkNorm::full, reasons);
  check_head_width(m, reasons);
  check_whole_bias(m, reasons);
}
void write_olmoe(const PlainModel& m, Json& config) {
  write_experts(m, "num_experts", config);
  write_norm_topk(m, config);
  config["intermediate_size"] = m.experts.d_ff;
  config["attention_bias"] = m.qkv_bias;
  config["clip_qkv"] = nullptr;
}
void read_olmoe(const HfConfig& config, PlainModel& m) {
  read_experts(config, config.has("num_experts") ? "num_experts" : "num_local_experts", m);
  m.qk_norm = QkNorm::full;
  m.experts.routing.renormalise = config.flag("norm_topk_prob", false);
  m.experts.d_ff = config.integer("intermediate_size");
  read_attention_bias(config, m);
  config.require("clip_qkv", {});
}

// ---- Qwen2-MoE ----

// The width of a shared expert of zeros, where a model has none: a multiple of the ranks that may share it.
constexpr int64_t kAbsentShared = 8;

TensorNames qwen2_moe_names() {
  TensorNames n;
  n.shared_gate = "model.layers.{i}.mlp.shared_expert.gate_proj";
  n.shared_up = "model.layers.{i}.mlp.shared_expert.up_proj";
  n.shared_down = "model.layers.{i}.mlp.shared_expert.down_proj";
  n.shared_switch = "model.layers.{i}.mlp.shared_expert_gate";
  n.always_qkv_bias = true;
  n.absent_shared_d_ff = kAbsentShared;
  return n;
}
void check_qwen2_moe(const PlainModel& m, Reasons& reasons) {
  unless(m.has_experts(), "it has experts", reasons);
  check_softmax(m, reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  check_head_width(m, reasons);
  unless(!m.attention_output_bias, "its attention has biases for queries, keys and values only", reasons);
}
void write_qwen2_moe(const PlainModel& m, Json& config) {
  write_experts(m, "num_experts", config);
  write_norm_topk(m, config);
  write_mixed_layers(m, config);
  config["moe_intermediate_size"] = m.experts.d_ff;
  config["shared_expert_intermediate_size"] = m.experts.shared_d_ff > 0 ? m.experts.shared_d_ff : kAbsentShared;
  config["intermediate_size"] = m.d_ff;
  config["qkv_bias"] = true;
  config["use_sliding_window"] = false;
  config["sliding_window"] = nullptr;
}
void read_qwen2_moe(const HfConfig& config, PlainModel& m) {
  read_experts(config, config.has("num_experts") ? "num_experts" : "num_local_experts", m);
  read_mixed_layers(config, m);
  m.qkv_bias = config.flag("qkv_bias", true);
  m.experts.routing.renormalise = config.flag("norm_topk_prob", false);
  m.experts.d_ff = config.integer("moe_intermediate_size");
  m.experts.shared_d_ff = config.integer("shared_expert_intermediate_size");
  m.experts.shared_gate = true;
  m.d_ff = config.integer("intermediate_size", m.experts.d_ff);
  refuse_windows(config);
}
// Undoes what the export adds: biases and a shared expert of zeros, and a switch that is always open by half.
void refine_qwen2_moe(const ForeignTensors& tensors, PlainModel& m) {
  if (m.qkv_bias && is_zero_everywhere(tensors, ".q_proj.bias") && is_zero_everywhere(tensors, ".k_proj.bias") &&
      is_zero_everywhere(tensors, ".v_proj.bias")) {
    m.qkv_bias = false;
  }
  if (!is_zero_everywhere(tensors, ".mlp.shared_expert_gate.weight")) return;
  m.experts.shared_gate = false;
  const bool absent = m.experts.shared_d_ff == kAbsentShared &&
                      is_zero_everywhere(tensors, ".mlp.shared_expert.down_proj.weight") &&
                      is_zero_everywhere(tensors, ".mlp.shared_expert.gate_proj.weight");
  if (absent) m.experts.shared_d_ff = 0;
}

// ---- Dots1 ----

TensorNames dots1_names() {
  TensorNames n;
  n.selection_bias = "model.layers.{i}.mlp.gate.e_score_correction_bias";
  n.shared_gate = "model.layers.{i}.mlp.shared_experts.gate_proj";
  n.shared_up = "model.layers.{i}.mlp.shared_experts.up_proj";
  n.shared_down = "model.layers.{i}.mlp.shared_experts.down_proj";
  n.absent_shared_d_ff = TensorNames::kAsOneExpert;
  return n;
}
void check_dots1(const PlainModel& m, Reasons& reasons) {
  const PlainExperts& e = m.experts;
  unless(m.has_experts(), "it has experts", reasons);
  unless(e.routing.sigmoid, "its scores are sigmoids", reasons);
  check_leading_dense(m, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_whole_bias(m, reasons);
  check_whole_shared(m, reasons);
  unless(e.routing.groups > 0 && e.count / e.routing.groups >= 2, "a group has at least two experts", reasons);
}
void write_dots1(const PlainModel& m, Json& config) {
  const PlainRouting& r = m.experts.routing;
  config["n_routed_experts"] = m.experts.count;
  config["n_shared_experts"] = std::max<int64_t>(m.experts.shared_d_ff / m.experts.d_ff, 1);
  config["num_experts_per_tok"] = r.k;
  config["n_group"] = r.groups;
  config["topk_group"] = r.group_limit;
  config["norm_topk_prob"] = r.renormalise;
  config["routed_scaling_factor"] = r.scale;
  config["first_k_dense_replace"] = m.leading_dense();
  config["moe_intermediate_size"] = m.experts.d_ff;
  config["intermediate_size"] = m.d_ff;
  config["attention_bias"] = m.qkv_bias;
  config["sliding_window"] = nullptr;
  config["layer_types"] = std::vector<std::string>(as_index(m.layers), "full_attention");
}
void read_dots1(const HfConfig& config, PlainModel& m) {
  read_experts(config, "n_routed_experts", m);
  PlainRouting& r = m.experts.routing;
  r.sigmoid = r.selection_bias = true;
  r.groups = config.integer("n_group", 1);
  r.group_limit = config.integer("topk_group", 1);
  r.renormalise = config.flag("norm_topk_prob", true);
  r.scale = config.number("routed_scaling_factor", 1);
  const int64_t dense = config.integer("first_k_dense_replace", 0);
  for (int64_t i = 0; i < m.layers; ++i) m.is_moe[as_index(i)] = i >= dense;
  m.qk_norm = QkNorm::head;
  m.experts.d_ff = config.integer("moe_intermediate_size");
  m.experts.shared_d_ff = size_product(m.experts.d_ff, config.integer("n_shared_experts", 1));
  m.d_ff = config.integer("intermediate_size", m.experts.d_ff);
  read_attention_bias(config, m);
  if (!config.has("layer_types")) require_no_window(config);
}
void refine_dots1(const ForeignTensors& tensors, PlainModel& m) {
  if (m.experts.shared_d_ff == m.experts.d_ff && is_zero_everywhere(tensors, ".mlp.shared_experts.down_proj.weight") &&
      is_zero_everywhere(tensors, ".mlp.shared_experts.gate_proj.weight"))
    m.experts.shared_d_ff = 0;
}

// ---- dense models ----

void check_llama(const PlainModel& m, Reasons& reasons) {
  check_dense(m, reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  check_whole_bias(m, reasons);
}
void write_llama(const PlainModel& m, Json& config) {
  config["intermediate_size"] = m.d_ff;
  config["attention_bias"] = m.qkv_bias;
  config["mlp_bias"] = m.feed_forward_bias;
  config["pretraining_tp"] = 1;
}
void read_llama(const HfConfig& config, PlainModel& m) {
  m.d_ff = config.integer("intermediate_size");
  read_attention_bias(config, m);
  m.feed_forward_bias = config.flag("mlp_bias", false);
  config.require("pretraining_tp", {"1"});
}

void check_qwen3(const PlainModel& m, Reasons& reasons) {
  check_dense(m, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_whole_bias(m, reasons);
}
void write_qwen3(const PlainModel& m, Json& config) {
  config["intermediate_size"] = m.d_ff;
  config["attention_bias"] = m.qkv_bias;
  config["use_sliding_window"] = false;
  config["sliding_window"] = nullptr;
}
void read_qwen3(const HfConfig& config, PlainModel& m) {
  m.d_ff = config.integer("intermediate_size");
  m.qk_norm = QkNorm::head;
  read_attention_bias(config, m);
  refuse_windows(config);
}

// GPT-2, whose matrices are (in, out).
TensorNames gpt2_names() {
  TensorNames n;
  n.embedding = "wte";
  n.positions = "wpe";
  n.attention_norm = "h.{i}.ln_1";
  n.fused_qkv = "h.{i}.attn.c_attn";
  n.output = "h.{i}.attn.c_proj";
  n.feed_forward_norm = "h.{i}.ln_2";
  n.dense_up = "h.{i}.mlp.c_fc";
  n.dense_down = "h.{i}.mlp.c_proj";
  n.final_norm = "ln_f";
  n.linear_is_transposed = true;
  return n;
}
void read_gpt2(const HfConfig& config, PlainModel& m) {
  config.require("activation_function", {"\"gelu_new\"", "\"gelu_pytorch_tanh\"", "\"gelu\"", "\"relu\""});
  const std::string word = config.word("activation_function", "gelu_new");
  m.activation = word == "gelu" ? "gelu_erf" : word == "relu" ? "relu" : "gelu_tanh";
  m.d_ff = config.integer("n_inner", 4 * m.d_model);
  m.learned_positions = m.layer_norm = true;
  m.qkv_bias = m.attention_output_bias = m.feed_forward_bias = true;
  m.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  config.require("scale_attn_weights", {"true"});
  config.require("scale_attn_by_inverse_layer_idx", {"false"});
  config.require("add_cross_attention", {"false"});
}

}  // namespace

const Table<HfLayout>& hf_layouts() {
  static const Table<HfLayout> table{
      "layout",
      {
          {.name = "mixtral",
           .architecture = "MixtralForCausalLM",
           .help = "experts in every layer, softmax, renormalised",
           .names = mixtral_names(),
           .check = check_mixtral,
           .write = write_mixtral,
           .read = read_mixtral,
           .rope_theta = 1e6,
           .norm_eps = 1e-5},
          {.name = "qwen3_moe",
           .architecture = "Qwen3MoeForCausalLM",
           .help = "norms of query and key heads, softmax, dense layers mixed in",
           .check = check_qwen3_moe,
           .write = write_qwen3_moe,
           .read = read_qwen3_moe},
          {.name = "olmoe",
           .architecture = "OlmoeForCausalLM",
           .help = "norms of whole queries and keys, softmax",
           .check = check_olmoe,
           .write = write_olmoe,
           .read = read_olmoe},
          {.name = "qwen2_moe",
           .architecture = "Qwen2MoeForCausalLM",
           .help = "softmax without renormalisation, or with shared experts",
           .names = qwen2_moe_names(),
           .check = check_qwen2_moe,
           .write = write_qwen2_moe,
           .read = read_qwen2_moe,
           .refine = refine_qwen2_moe},
          {.name = "dots1",
           .architecture = "Dots1ForCausalLM",
           .help = "norms of query and key heads, sigmoid scores, groups, shared experts",
           .names = dots1_names(),
           .check = check_dots1,
           .write = write_dots1,
           .read = read_dots1,
           .refine = refine_dots1},
          {.name = "llama",
           .architecture = "LlamaForCausalLM",
           .help = "no experts",
           .check = check_llama,
           .write = write_llama,
           .read = read_llama,
           .feed_forward_bias = true},
          {.name = "qwen3",
           .architecture = "Qwen3ForCausalLM",
           .help = "no experts, norms of query and key heads",
           .check = check_qwen3,
           .write = write_qwen3,
           .read = read_qwen3},
          {.name = "gpt2",
           .architecture = "GPT2LMHeadModel",
           .help = "learned positions and layer norm; import only",
           .keys = {.layers = "n_layer", .d_model = "n_embd", .heads = "n_head", .positions = "n_positions"},
           .names = gpt2_names(),
           .read = read_gpt2,
           .feed_forward_bias = true,
           .tied = true},
      }};
  return table;
}

std::vector<std::string> why_not(const HfLayout& layout, const PlainModel& model) {
  Reasons reasons;
  if (!layout.check) return {"it can only be imported"};
  layout.check(model, reasons);
  if (!layout.feed_forward_bias) check_no_feed_forward_bias(model, reasons);
  return reasons;
}

const HfLayout& choose_layout(const PlainModel& model, const std::string& requested) {
  return choose_among<HfLayout>(
      hf_layouts(), requested, [&](const HfLayout& layout) { return why_not(layout, model); },
      "no layout of Hugging Face expresses this model exactly");
}

}  // namespace moe
