#include "core/convert/gguf_layout.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/convert/layout_checks.h"

namespace moe {

namespace {

using Metadata = std::vector<GgufEntry>;

// How scores become weights, as metadata numbers it.
constexpr int64_t kSoftmax = 1, kSigmoid = 2;

// ---- what several architectures demand besides layout_checks.h ----

void check_plain_softmax(const PlainModel& m, Reasons& reasons) {
  check_softmax(m, reasons);
  unless(!m.experts.routing.selection_bias, "experts are chosen without a bias", reasons);
  unless(m.experts.routing.groups == 1, "experts have no groups", reasons);
}
void check_kv_heads(const PlainModel& m, Reasons& reasons) {
  unless(m.kv_heads == m.heads, "it has as many heads of keys as of queries", reasons);
}
void check_few_biases(const PlainModel& m, Reasons& reasons) {
  unless(!m.attention_output_bias, "the output of its attention has no bias", reasons);
  check_no_feed_forward_bias(m, reasons);
}

void write_experts(const PlainModel& m, Metadata& out) {
  out.push_back({"expert_count", m.experts.count});
  out.push_back({"expert_used_count", m.experts.routing.k});
}
void write_expert_width(const PlainModel& m, Metadata& out) {
  write_experts(m, out);
  out.push_back({"expert_feed_forward_length", m.experts.d_ff});
}
void read_experts(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  m.experts.count = file.integer(prefix + "expert_count");
  m.experts.routing.k = file.integer(prefix + "expert_used_count");
  m.is_moe.assign(as_index(m.layers), true);
  m.experts.d_ff = file.integer(prefix + "expert_feed_forward_length", m.d_ff);
}

// Shared experts and weights as metadata has them.
void write_weights(const PlainModel& m, Metadata& out) {
  out.push_back({"expert_shared_count", std::max<int64_t>(m.experts.shared_d_ff / m.experts.d_ff, 1)});
  out.push_back({"expert_weights_norm", m.experts.routing.renormalise});
  out.push_back({"expert_weights_scale", m.experts.routing.scale});
}
void read_weights(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  m.experts.shared_d_ff = size_product(m.experts.d_ff, file.integer(prefix + "expert_shared_count"));
  m.experts.routing.renormalise = file.flag(prefix + "expert_weights_norm", false);
  m.experts.routing.scale = file.number(prefix + "expert_weights_scale", 1);
}

// ---- llama: dense models, and Mixtral's ----

void check_llama(const PlainModel& m, Reasons& reasons) {
  unless(!m.has_experts() || m.all_moe(), "it has experts in every layer or in none", reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  if (!m.has_experts()) return;
  check_plain_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_renormalised(m, true, reasons);
  unless(m.experts.routing.scale == 1, "the weights are not scaled", reasons);
  check_no_feed_forward_bias(m, reasons);
}
void write_llama(const PlainModel& m, Metadata& out) {
  if (m.has_experts()) write_experts(m, out);
}
void read_llama(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  if (file.integer(prefix + "expert_count", 0) == 0) return;
  read_experts(file, prefix, m);
  m.experts.routing.renormalise = true;
}

// ---- qwen3, qwen3moe ----

void check_qwen3(const PlainModel& m, Reasons& reasons) {
  check_dense(m, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_few_biases(m, reasons);
}
void write_nothing(const PlainModel&, Metadata&) {}
void read_qwen3(const GgufFile&, const std::string&, PlainModel& m) {
  m.qk_norm = QkNorm::head;
}

void check_qwen3moe(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_plain_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_renormalised(m, true, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_few_biases(m, reasons);
}
void write_qwen3moe(const PlainModel& m, Metadata& out) {
  write_expert_width(m, out);
  out.push_back({"expert_weights_scale", m.experts.routing.scale});
}
void read_qwen3moe(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  read_experts(file, prefix, m);
  m.qk_norm = QkNorm::head;
  m.experts.routing.renormalise = true;
}

// ---- olmoe ----

void check_olmoe(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_plain_softmax(m, reasons);
  check_not_shared(m, reasons);
  check_renormalised(m, false, reasons);
  check_qk_norm(m, QkNorm::full, reasons);
  check_head_width(m, reasons);
  check_kv_heads(m, reasons);
  check_few_biases(m, reasons);
}
void read_olmoe(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  read_experts(file, prefix, m);
  m.experts.d_ff = m.d_ff;
  m.qk_norm = QkNorm::full;
  m.experts.routing.renormalise = false;
}

// ---- qwen2moe: a shared expert with a gate ----

// llama.cpp divides silu(x) by x to get the gate, which is no number for a gate that is always open by half.
void check_qwen2moe(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_plain_softmax(m, reasons);
  check_renormalised(m, false, reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  check_head_width(m, reasons);
  unless(m.experts.shared_d_ff > 0 && m.experts.shared_gate, "it has a shared expert with a gate", reasons);
  check_few_biases(m, reasons);
}
void write_qwen2moe(const PlainModel& m, Metadata& out) {
  write_expert_width(m, out);
  out.push_back({"expert_shared_feed_forward_length", m.experts.shared_d_ff});
}
void read_qwen2moe(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  read_experts(file, prefix, m);
  m.experts.routing.renormalise = false;
  m.experts.shared_gate = true;
  m.experts.shared_d_ff = file.integer(prefix + "expert_shared_feed_forward_length", m.d_ff);
}

// ---- bailingmoe: ungated shared experts, either renormalisation ----

void check_bailingmoe(const PlainModel& m, Reasons& reasons) {
  check_all_moe(m, reasons);
  check_plain_softmax(m, reasons);
  check_whole_shared(m, reasons);
  check_qk_norm(m, QkNorm::none, reasons);
  check_few_biases(m, reasons);
}
void write_bailingmoe(const PlainModel& m, Metadata& out) {
  write_expert_width(m, out);
  write_weights(m, out);
  out.push_back({"leading_dense_block_count", int64_t{0}});
}
void read_bailingmoe(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  file.integer(prefix + "leading_dense_block_count", 0);  // llama.cpp reads experts in every layer
  read_experts(file, prefix, m);
  read_weights(file, prefix, m);
}

// ---- dots1: sigmoid scores with a bias, groups, shared experts; with softmax too ----

void check_dots1(const PlainModel& m, Reasons& reasons) {
  const PlainRouting& r = m.experts.routing;
  unless(m.has_experts(), "it has experts", reasons);
  check_leading_dense(m, reasons);
  check_qk_norm(m, QkNorm::head, reasons);
  check_kv_heads(m, reasons);
  check_whole_shared(m, reasons);
  check_few_biases(m, reasons);
  unless(r.groups == 1 || (m.experts.count % r.groups == 0 && m.experts.count / r.groups >= 2),
         "its groups have two experts or more", reasons);
}
void write_dots1(const PlainModel& m, Metadata& out) {
  const PlainRouting& r = m.experts.routing;
  write_expert_width(m, out);
  write_weights(m, out);
  out.push_back({"expert_gating_func", r.sigmoid ? kSigmoid : kSoftmax});
  out.push_back({"leading_dense_block_count", m.leading_dense()});
  // A choice among all groups is one without groups.
  if (r.groups == 1 || r.group_limit == r.groups) return;
  out.push_back({"expert_group_count", r.groups});
  out.push_back({"expert_group_used_count", r.group_limit});
}
void read_dots1(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  read_experts(file, prefix, m);
  read_weights(file, prefix, m);
  PlainRouting& r = m.experts.routing;
  const int64_t scores = file.integer(prefix + "expert_gating_func", 0);
  if (scores != kSoftmax && scores != kSigmoid)
    raise<CheckpointError>("{}: {}expert_gating_func is {}, which is not supported", file.path(), prefix, scores);
  r.sigmoid = r.selection_bias = scores == kSigmoid;
  r.groups = std::max<int64_t>(file.integer(prefix + "expert_group_count", 1), 1);
  r.group_limit = std::max<int64_t>(file.integer(prefix + "expert_group_used_count", r.groups), 1);
  const int64_t dense = file.integer(prefix + "leading_dense_block_count", 0);
  for (int64_t i = 0; i < m.layers; ++i) m.is_moe[as_index(i)] = i >= dense;
  m.qk_norm = QkNorm::head;
}

// ---- metadata that all share ----

// llama.cpp reads Llama 3's scaling as one factor per frequency. These keys of ours say what the factors came from.
constexpr const char* kLlama3Keys[] = {"moe_train.rope_scaling.factor", "moe_train.rope_scaling.low_freq_factor",
                                       "moe_train.rope_scaling.high_freq_factor",
                                       "moe_train.rope_scaling.original_max_position"};

void write_rope(const std::string& prefix, const PlainModel& m, Metadata& out) {
  const PlainRopeScaling& s = m.rope_scaling;
  out.push_back({prefix + "rope.dimension_count", m.d_head});
  out.push_back({prefix + "rope.freq_base", m.rope_theta});
  if (s.kind == "linear") {
    out.push_back({prefix + "rope.scaling.type", std::string("linear")});
    out.push_back({prefix + "rope.scaling.factor", s.factor});
  } else if (s.kind == "llama3") {
    out.push_back({kLlama3Keys[0], s.factor});
    out.push_back({kLlama3Keys[1], s.low_freq_factor});
    out.push_back({kLlama3Keys[2], s.high_freq_factor});
    out.push_back({kLlama3Keys[3], s.original_positions});
  }
}

void read_rope(const GgufFile& file, const std::string& prefix, PlainModel& m) {
  PlainRopeScaling& s = m.rope_scaling;
  if (const int64_t dims = file.integer(prefix + "rope.dimension_count", m.d_head); dims != m.d_head)
    raise<CheckpointError>("{}: {} of a head's {} dimensions are rotated, which is not supported", file.path(), dims,
                           m.d_head);
  m.rope_theta = file.number(prefix + "rope.freq_base", 10000);
  const std::string kind = file.word(prefix + "rope.scaling.type", "linear");
  const double factor = file.number(prefix + "rope.scaling.factor", file.number(prefix + "rope.scale_linear", 0));
  if (kind != "linear" && kind != "none")
    raise<CheckpointError>("{}: the scaling '{}' of rotary positions is not supported", file.path(), kind);
  if (kind == "linear" && factor != 0 && factor != 1) s = {.kind = "linear", .factor = factor};
  if (!file.contains("rope_freqs.weight")) return;
  if (!file.has(kLlama3Keys[0]))
    raise<CheckpointError>("{} holds factors of rotary frequencies (rope_freqs), which do not name the scaling that they are from",
                           file.path());
  s = {.kind = "llama3",
       .factor = file.number(kLlama3Keys[0], 1),
       .low_freq_factor = file.number(kLlama3Keys[1], 1),
       .high_freq_factor = file.number(kLlama3Keys[2], 4),
       .original_positions = file.integer(kLlama3Keys[3], 8192)};
}

// The head may be stored although it is the embedding.
bool is_tied(const GgufFile& file) {
  if (!file.contains("output.weight")) return true;
  return file.dims("output.weight") == file.dims("token_embd.weight") &&
         file.read("output.weight") == file.read("token_embd.weight");
}

// What the tensors show.
void read_shapes(const GgufFile& file, PlainModel& m) {
  m.tied = is_tied(file);
  m.qkv_bias = file.contains("blk.0.attn_q.bias");
  m.attention_output_bias = file.contains("blk.0.attn_output.bias");
  m.feed_forward_bias = file.contains("blk.0.ffn_up.bias");
}

}  // namespace

const Table<GgufLayout>& gguf_layouts() {
  static const Table<GgufLayout> table{
      "architecture",
      {
          {.name = "llama",
           .help = "no experts, or Mixtral's",
           .check = check_llama,
           .write = write_llama,
           .read = read_llama,
           .interleaved = true,
           .one_width = true,
           .rope_factors = true},
          {.name = "qwen3",
           .help = "no experts, norms of query and key heads",
           .check = check_qwen3,
           .write = write_nothing,
           .read = read_qwen3},
          {.name = "qwen3moe",
           .help = "norms of query and key heads, softmax, renormalised",
           .check = check_qwen3moe,
           .write = write_qwen3moe,
           .read = read_qwen3moe},
          {.name = "olmoe",
           .help = "norms of whole queries and keys, softmax, not renormalised",
           .check = check_olmoe,
           .write = write_experts,
           .read = read_olmoe,
           .wants_head = true,
           .one_width = true},
          {.name = "qwen2moe",
           .help = "a shared expert with a gate, softmax, not renormalised",
           .check = check_qwen2moe,
           .write = write_qwen2moe,
           .read = read_qwen2moe,
           .wants_head = true},
          {.name = "bailingmoe",
           .help = "softmax, renormalised or not, shared experts",
           .check = check_bailingmoe,
           .write = write_bailingmoe,
           .read = read_bailingmoe,
           .interleaved = true,
           .wants_head = true,
           .wants_shared = true},
          {.name = "dots1",
           .help = "norms of query and key heads, sigmoid or softmax, groups, shared experts",
           .check = check_dots1,
           .write = write_dots1,
           .read = read_dots1,
           .wants_head = true,
           .wants_shared = true},
      }};
  return table;
}

std::vector<std::string> why_not(const GgufLayout& layout, const PlainModel& m) {
  Reasons reasons;
  layout.check(m, reasons);
  unless(!m.learned_positions && !m.layer_norm, "it has rotary positions and norms by the root mean square", reasons);
  unless(m.activation == "swiglu", "its feed-forward layers are gated by silu", reasons);
  unless(m.d_head % 2 == 0, "the width of its heads is even", reasons);
  if (!layout.rope_factors)
    unless(m.rope_scaling.kind != "llama3", "rotary positions are not scaled as in Llama 3", reasons);
  return reasons;
}

const GgufLayout& choose_gguf_layout(const PlainModel& model, const std::string& requested) {
  return choose_among<GgufLayout>(
      gguf_layouts(), requested, [&](const GgufLayout& layout) { return why_not(layout, model); },
      "no architecture of llama.cpp computes this model exactly");
}

std::vector<GgufEntry> gguf_metadata(const GgufLayout& layout, const PlainModel& m, const std::string& name,
                                     GgufFormat format) {
  // llama.cpp's number for a file whose matrices have this format.
  const int64_t file_type = format == GgufFormat::f32    ? 0
                            : format == GgufFormat::f16  ? 1
                            : format == GgufFormat::q8_0 ? 7
                                                         : 32;
  const std::string prefix = layout.name + ".";
  Metadata out{{"general.architecture", layout.name},
               {"general.type", std::string("model")},
               {"general.name", name},
               {"general.quantization_version", int64_t{2}},
               {"general.file_type", file_type},
               {prefix + "vocab_size", m.vocab},
               {prefix + "context_length", m.positions},
               {prefix + "embedding_length", m.d_model},
               {prefix + "block_count", m.layers},
               {prefix + "feed_forward_length", m.has_experts() && layout.one_width ? m.experts.d_ff : m.d_ff},
               {prefix + "attention.head_count", m.heads},
               {prefix + "attention.head_count_kv", m.kv_heads},
               {prefix + "attention.key_length", m.d_head},
               {prefix + "attention.value_length", m.d_head},
               {prefix + "attention.layer_norm_rms_epsilon", m.norm_eps}};
  write_rope(prefix, m, out);
  Metadata own;
  layout.write(m, own);
  for (GgufEntry& entry : own) out.push_back({prefix + entry.key, std::move(entry.value)});
  return out;
}

const GgufLayout& layout_of(const GgufFile& file) {
  const std::string name = file.word("general.architecture", "");
  for (const GgufLayout& layout : gguf_layouts()) {
    if (layout.name == name) return layout;
  }
  raise<UsageError>("{}: the architecture '{}' is not supported; known: {}", file.path(), name,
                    join(gguf_layouts().names(), ", "));
}

PlainModel read_model(const GgufLayout& layout, const GgufFile& file) {
  const std::string prefix = layout.name + ".";
  PlainModel m;
  m.layers = file.integer(prefix + "block_count");
  m.d_model = file.integer(prefix + "embedding_length");
  m.heads = file.integer(prefix + "attention.head_count");
  m.vocab = file.dims("token_embd.weight").front();
  require_sizes(m, file.path());
  m.kv_heads = file.integer(prefix + "attention.head_count_kv", m.heads);
  m.d_head = file.integer(prefix + "attention.key_length", m.d_model / m.heads);
  if (file.integer(prefix + "attention.value_length", m.d_head) != m.d_head)
    raise<CheckpointError>("{}: heads of values have another width than those of keys", file.path());
  if (file.integer(prefix + "attention.sliding_window", 0) > 0)
    raise<CheckpointError>("{}: attention to a window of tokens is not supported", file.path());
  m.positions = file.integer(prefix + "context_length");
  m.d_ff = file.integer(prefix + "feed_forward_length", 0);
  m.norm_eps = file.number(prefix + "attention.layer_norm_rms_epsilon", 1e-5);
  m.is_moe.assign(as_index(m.layers), false);
  m.experts.routing.scale = file.number(prefix + "expert_weights_scale", 1);
  read_rope(file, prefix, m);
  read_shapes(file, m);
  layout.read(file, prefix, m);
  file.integer(prefix + "vocab_size", m.vocab);  // the embedding's rows count
  require_sizes(m, file.path());
  return m;
}

}  // namespace moe
