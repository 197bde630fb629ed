#include "core/convert/tensor_map.h"

#include <map>
#include <set>

#include "core/convert/hf_layout.h"
#include "tests/support/catch.h"

using namespace moe;

// A model with everything that the layout expresses.
static PlainModel model_for(const HfLayout& layout) {
  PlainModel m;
  m.vocab = 11, m.layers = 2, m.d_model = 8, m.heads = 2, m.kv_heads = 1, m.d_head = 4, m.d_ff = 6, m.positions = 16;
  m.is_moe.assign(2, false);
  const std::string& name = layout.name;
  if (name == "gpt2") {
    m.kv_heads = 2;
    m.learned_positions = m.layer_norm = m.qkv_bias = m.attention_output_bias = m.feed_forward_bias = m.tied = true;
    m.activation = "gelu_tanh";
    return m;
  }
  const bool dense = name == "llama" || name == "qwen3";
  if (name == "qwen3" || name == "qwen3_moe" || name == "dots1") m.qk_norm = QkNorm::head;
  if (name == "olmoe") m.qk_norm = QkNorm::full;
  if (dense) {
    m.qkv_bias = m.attention_output_bias = true;
    m.feed_forward_bias = name == "llama";
    return m;
  }
  const bool mixed = name == "qwen3_moe" || name == "qwen2_moe" || name == "dots1";
  m.is_moe = {!mixed, true};
  m.experts.count = 4, m.experts.d_ff = 3;
  m.experts.routing.k = 2;
  if (name == "qwen2_moe") m.qkv_bias = true, m.experts.shared_d_ff = 6, m.experts.shared_gate = true;
  if (name == "dots1") {
    m.experts.shared_d_ff = 6;
    m.experts.routing.sigmoid = m.experts.routing.selection_bias = true;
  }
  return m;
}

// Ours has numbers that are all different; theirs is made of it, and ours of theirs.
static void round_trip(const PlainModel& model, const TensorNames& names) {
  const TensorMap map = map_tensors(model, names);
  std::map<std::string, std::vector<float>> ours, theirs;
  float next = 0.5f;
  std::set<std::string> seen;
  for (const OurTensor& t : map.ours) {
    INFO(t.name);
    CHECK(seen.insert(t.name).second);
    for (int64_t i = 0; i < elements(t.dims); ++i) ours[t.name].push_back(next += 0.25f);
  }
  for (const TheirTensor& t : map.theirs) {
    INFO(t.name);
    CHECK(theirs.count(t.name) == 0);
    int64_t rows = 0;
    for (const Piece& piece : t.pieces) rows += piece.rows;
    CHECK(rows == t.dims[0]);
    theirs[t.name] = their_values(t, [&](const std::string& name) { return ours.at(name); });
  }
  for (const OurTensor& t : map.ours) {
    INFO(t.name);
    CHECK(our_values(t, map, [&](const std::string& name) { return theirs.at(name); }) == ours.at(t.name));
  }
}

TEST_CASE("every layout has a place for each of our tensors, in both directions") {
  for (const HfLayout& layout : hf_layouts()) {
    INFO(layout.name);
    const PlainModel model = model_for(layout);
    if (layout.check) CHECK(why_not(layout, model).empty());
    round_trip(model, layout.names);
  }
}

TEST_CASE("queries, keys and values, gate and up are taken from the right rows") {
  PlainModel m = model_for(hf_layouts().at("mixtral"));
  const TensorMap map = map_tensors(m, hf_layouts().at("mixtral").names);
  const auto values = [&](const std::string& name) {
    for (const TheirTensor& t : map.theirs) {
      if (t.name != name) continue;
      return their_values(t, [&](const std::string& ours) {
        for (const OurTensor& o : map.ours) {
          if (o.name != ours) continue;
          std::vector<float> rows;  // each value is its row's number
          for (int64_t i = 0; i < elements(o.dims); ++i)
            rows.push_back(static_cast<float>(i / (elements(o.dims) / o.dims[0])));
          return rows;
        }
        return std::vector<float>();
      });
    }
    return std::vector<float>();
  };
  CHECK(values("model.layers.0.self_attn.q_proj.weight").front() == 0);
  CHECK(values("model.layers.0.self_attn.q_proj.weight").back() == 7);
  CHECK(values("model.layers.0.self_attn.k_proj.weight").front() == 8);
  CHECK(values("model.layers.0.self_attn.v_proj.weight").front() == 12);
  CHECK(values("model.layers.1.block_sparse_moe.experts.3.w1.weight").front() == 0);
  CHECK(values("model.layers.1.block_sparse_moe.experts.3.w3.weight").front() == 3);
}

TEST_CASE("an ungated shared expert is doubled for Qwen2-MoE, whose gate of zeros halves it") {
  PlainModel m = model_for(hf_layouts().at("qwen2_moe"));
  m.experts.shared_gate = m.qkv_bias = false;
  const HfLayout& layout = hf_layouts().at("qwen2_moe");
  round_trip(m, layout.names);
  const TensorMap map = map_tensors(m, layout.names);
  for (const TheirTensor& t : map.theirs) {
    const auto ones = [](const std::string&) { return std::vector<float>(1000, 1.0f); };
    INFO(t.name);
    const float first = their_values(t, ones).front();
    if (t.name.ends_with("shared_expert.down_proj.weight")) CHECK(first == 2);
    if (t.name.ends_with("shared_expert.up_proj.weight")) CHECK(first == 1);
    if (t.name.ends_with("shared_expert_gate.weight")) CHECK(first == 0);
    if (t.name.ends_with("q_proj.bias")) CHECK(first == 0);
  }
}

TEST_CASE("a shared expert that a model lacks is written as zeros, where the layout always has one") {
  for (const char* name : {"qwen2_moe", "dots1"}) {
    PlainModel m = model_for(hf_layouts().at(name));
    m.experts.shared_d_ff = 0;
    m.experts.shared_gate = false;
    round_trip(m, hf_layouts().at(name).names);
    const TensorMap map = map_tensors(m, hf_layouts().at(name).names);
    int64_t zeros = 0;
    for (const TheirTensor& t : map.theirs) {
      if (t.name.find("shared_expert") == std::string::npos) continue;
      for (const float x : their_values(t, {})) CHECK(x == 0);
      ++zeros;
    }
    CHECK(zeros >= 3);
  }
}

TEST_CASE("with groups the bias of the choice is raised above zero, which changes no choice") {
  PlainModel m = model_for(hf_layouts().at("dots1"));
  m.experts.routing.groups = 2;
  const TensorMap map = map_tensors(m, hf_layouts().at("dots1").names);
  for (const TheirTensor& t : map.theirs) {
    if (t.use != TensorUse::selection_bias) continue;
    const std::vector<float> raised = their_values(t, [](const std::string&) {
      return std::vector<float>{-0.5f, 0.25f, 0, 1};
    });
    CHECK(raised == std::vector<float>{0, 0.75f, 0.5f, 1.5f});
  }
}
