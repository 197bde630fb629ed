// What tensor of ours becomes what tensor of another program's file: one description, used in both directions. A layout
// of files gives the names (TensorNames), a PlainModel the shapes.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/convert/foreign_tensors.h"
#include "core/convert/plain_model.h"

namespace moe {

// What is done to our values to get theirs. The way back is its reverse.
enum class Change {
  none,
  transposed,  // ours (rows, columns) is theirs (columns, rows)
  doubled,     // exact in both directions
  raised,      // a constant is added so that no value is negative; not reversible, and without effect on choices
};

// Consecutive rows of one of our tensors, and of one of theirs. A vector has a row for each value.
struct Piece {
  std::string ours{};  // empty: theirs has zeros there, which we have no tensor for
  int64_t our_row = 0, their_row = 0, rows = 0;
  Change change = Change::none;
};

// The use of a tensor, by which a format chooses how to store the numbers.
enum class TensorUse { matrix, expert, norm, bias, router, selection_bias };

struct TheirTensor {
  std::string name;
  Dims dims;
  TensorUse use = TensorUse::matrix;
  std::vector<Piece> pieces{};  // they cover all rows

  int64_t columns() const;
  bool is_zero() const;  // nothing of ours is in it
};

struct OurTensor {
  std::string name;
  Dims dims;
};

struct TensorMap {
  std::vector<TheirTensor> theirs;
  std::vector<OurTensor> ours;  // all tensors of the model
  // The pieces of each of ours, as indices of `theirs` and of its pieces.
  std::multimap<std::string, std::pair<size_t, size_t>> places;
};

// Names of weights in a layout, without the ending ".weight", whose bias ends in ".bias". {i} stands for the block, {e}
// for the expert. Null: the layout has no such tensor. The default values are those that most layouts have.
struct TensorNames {
  static constexpr int64_t kAsOneExpert = -1;  // for absent_shared_d_ff

  const char* embedding = "model.embed_tokens";
  const char* positions = nullptr;
  const char* attention_norm = "model.layers.{i}.input_layernorm";
  const char* query = "model.layers.{i}.self_attn.q_proj";
  const char* key = "model.layers.{i}.self_attn.k_proj";
  const char* value = "model.layers.{i}.self_attn.v_proj";
  const char* fused_qkv = nullptr;  // in place of the three
  const char* output = "model.layers.{i}.self_attn.o_proj";
  const char* query_norm = "model.layers.{i}.self_attn.q_norm";
  const char* key_norm = "model.layers.{i}.self_attn.k_norm";
  const char* feed_forward_norm = "model.layers.{i}.post_attention_layernorm";
  const char* dense_gate = "model.layers.{i}.mlp.gate_proj";
  const char* dense_up = "model.layers.{i}.mlp.up_proj";
  const char* dense_down = "model.layers.{i}.mlp.down_proj";
  const char* router = "model.layers.{i}.mlp.gate";
  const char* selection_bias = nullptr;  // the whole name
  const char* expert_gate = "model.layers.{i}.mlp.experts.{e}.gate_proj";
  const char* expert_up = "model.layers.{i}.mlp.experts.{e}.up_proj";
  const char* expert_down = "model.layers.{i}.mlp.experts.{e}.down_proj";
  const char* shared_gate = nullptr;
  const char* shared_up = nullptr;
  const char* shared_down = nullptr;
  const char* shared_switch = nullptr;  // the row whose product with the token's sigmoid scales the shared expert
  const char* final_norm = "model.norm";
  const char* head = "lm_head";

  // What a layout always has, and a model perhaps not. It is filled so that nothing changes.
  bool always_qkv_bias = false;  // zeros
  // The width of the shared expert of zeros for a model without one; 0: there is none.
  int64_t absent_shared_d_ff = 0;
  bool linear_is_transposed = false;  // matrices are (in, out)
};

TensorMap map_tensors(const PlainModel& model, const TensorNames& names);

// Values of one of theirs, made of ours. `read`: the values of one of our tensors.
using ReadTensor = std::function<std::vector<float>(const std::string& name)>;
std::vector<float> their_values(const TheirTensor& tensor, const ReadTensor& read);
// The way back: values of one of ours, made of theirs.
std::vector<float> our_values(const OurTensor& tensor, const TensorMap& map, const ReadTensor& read);

}  // namespace moe
