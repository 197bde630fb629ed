#include "core/convert/gguf_tensors.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/ops/rope_frequencies.h"

namespace moe {

namespace {

// Stands before the number of an expert whose tensor is a part of that of all experts.
constexpr char kExpert = '#';

TensorNames names_of(const GgufLayout& layout, const PlainModel& model) {
  TensorNames n;
  n.embedding = "token_embd";
  n.attention_norm = "blk.{i}.attn_norm";
  n.query = "blk.{i}.attn_q";
  n.key = "blk.{i}.attn_k";
  n.value = "blk.{i}.attn_v";
  n.output = "blk.{i}.attn_output";
  n.query_norm = "blk.{i}.attn_q_norm";
  n.key_norm = "blk.{i}.attn_k_norm";
  n.feed_forward_norm = "blk.{i}.ffn_norm";
  n.dense_gate = "blk.{i}.ffn_gate";
  n.dense_up = "blk.{i}.ffn_up";
  n.dense_down = "blk.{i}.ffn_down";
  n.router = "blk.{i}.ffn_gate_inp";
  n.selection_bias = "blk.{i}.exp_probs_b.bias";
  n.expert_gate = "blk.{i}.ffn_gate_exps#{e}";
  n.expert_up = "blk.{i}.ffn_up_exps#{e}";
  n.expert_down = "blk.{i}.ffn_down_exps#{e}";
  n.shared_gate = "blk.{i}.ffn_gate_shexp";
  n.shared_up = "blk.{i}.ffn_up_shexp";
  n.shared_down = "blk.{i}.ffn_down_shexp";
  if (model.experts.shared_gate) n.shared_switch = "blk.{i}.ffn_gate_inp_shexp";
  n.final_norm = "output_norm";
  n.head = "output";
  if (layout.wants_shared) n.absent_shared_d_ff = TensorNames::kAsOneExpert;
  return n;
}

// Makes one tensor of those of a layer's experts, which follow one another by their numbers.
void join_experts(GgufMap& result) {
  std::vector<TheirTensor> joined;
  std::map<std::string, size_t> places;
  for (TheirTensor& tensor : result.map.theirs) {
    const size_t mark = tensor.name.find(kExpert);
    if (mark == std::string::npos) {
      joined.push_back(std::move(tensor));
      continue;
    }
    const std::string name = tensor.name.substr(0, mark) + tensor.name.substr(tensor.name.find('.', mark));
    const auto [place, is_new] = places.try_emplace(name, joined.size());
    if (is_new) {
      joined.push_back({name, {0, tensor.columns()}, tensor.use, {}});
      result.experts[name] = 0;
    }
    TheirTensor& all = joined[place->second];
    for (Piece piece : tensor.pieces) {
      piece.their_row += all.dims[0];
      all.pieces.push_back(std::move(piece));
    }
    all.dims[0] += tensor.dims[0];
    ++result.experts[name];
  }
  result.map.theirs = std::move(joined);
}

void index_places(TensorMap& map) {
  map.places.clear();
  for (size_t t = 0; t < map.theirs.size(); ++t) {
    const std::vector<Piece>& pieces = map.theirs[t].pieces;
    for (size_t p = 0; p < pieces.size(); ++p) map.places.emplace(pieces[p].ours, std::pair(t, p));
  }
}

std::vector<float> turn(const std::vector<float>& rows, int64_t heads, int64_t row_count, bool to_neighbours) {
  MOE_CHECK(row_count % (2 * heads) == 0, "{} rows of {} heads", row_count, heads);
  const int64_t columns = std::ssize(rows) / row_count, d_head = row_count / heads, half = d_head / 2;
  std::vector<float> turned(rows.size());
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < d_head; ++i) {
      const int64_t separate = head * d_head + i, neighbour = head * d_head + i % half * 2 + i / half;
      const auto [from, to] = to_neighbours ? std::pair(separate, neighbour) : std::pair(neighbour, separate);
      std::copy_n(rows.begin() + from * columns, columns, turned.begin() + to * columns);
    }
  }
  return turned;
}

}  // namespace

Dims GgufMap::dims(const TheirTensor& tensor) const {
  const auto found = experts.find(tensor.name);
  if (found != experts.end()) return {found->second, tensor.dims[0] / found->second, tensor.dims[1]};
  if (tensor.dims.size() == 2 && tensor.dims[0] == 1) return {tensor.dims[1]};  // the row of a shared expert's gate
  return tensor.dims;
}

GgufMap map_gguf(const GgufLayout& layout, const PlainModel& model, bool writes) {
  GgufMap result;
  result.map = map_tensors(model, names_of(layout, model));
  join_experts(result);
  for (TheirTensor& tensor : result.map.theirs) {
    for (Piece& piece : tensor.pieces) {
      // llama.cpp leaves out the groups that were not chosen, whatever the sign of the others' scores.
      if (piece.change == Change::raised) piece.change = Change::none;
    }
    if (!layout.interleaved) continue;
    if (tensor.name.find(".attn_q.") != std::string::npos) result.turned[tensor.name] = model.heads;
    if (tensor.name.find(".attn_k.") != std::string::npos) result.turned[tensor.name] = model.kv_heads;
  }
  if (writes && model.tied && layout.wants_head) {
    result.map.theirs.push_back({"output.weight",
                                 {model.vocab, model.d_model},
                                 TensorUse::matrix,
                                 {{.ours = "embedding.weight", .rows = model.vocab}}});
  }
  index_places(result.map);
  return result;
}

std::vector<float> neighbouring_pairs(const std::vector<float>& rows, int64_t heads, int64_t row_count) {
  return turn(rows, heads, row_count, true);
}

std::vector<float> separate_halves(const std::vector<float>& rows, int64_t heads, int64_t row_count) {
  return turn(rows, heads, row_count, false);
}

std::vector<float> rope_factors(const PlainModel& model) {
  const PlainRopeScaling& s = model.rope_scaling;
  RopeFrequencies plain{.dims = model.d_head, .theta = model.rope_theta}, scaled = plain;
  scaled.scaling = RopeFrequencies::Scaling::llama3;
  scaled.factor = s.factor;
  scaled.low_freq_factor = s.low_freq_factor;
  scaled.high_freq_factor = s.high_freq_factor;
  scaled.original_max_position = static_cast<double>(s.original_positions);
  std::vector<float> factors;
  for (int64_t pair = 0; pair < model.d_head / 2; ++pair)
    factors.push_back(static_cast<float>(plain.at(pair) / scaled.at(pair)));
  return factors;
}

}  // namespace moe
