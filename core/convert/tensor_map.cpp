#include "core/convert/tensor_map.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

namespace {

std::string replaced(std::string text, const char* what, int64_t number) {
  if (const size_t at = text.find(what); at != std::string::npos)
    text.replace(at, std::string_view(what).size(), std::to_string(number));
  return text;
}

// Builds the map block by block.
class Mapper {
 public:
  Mapper(const PlainModel& model, const TensorNames& names) : m_(model), names_(names) {}

  TensorMap run() {
    matrix("embedding.weight", names_.embedding, m_.vocab, m_.d_model, TensorUse::matrix, false);
    if (m_.learned_positions)
      matrix("positions.weight", names_.positions, m_.positions, m_.d_model, TensorUse::matrix, false);
    for (int64_t i = 0; i < m_.layers; ++i) block(i);
    norm("final_norm", names_.final_norm);
    if (!m_.tied) matrix("head.weight", names_.head, m_.vocab, m_.d_model, TensorUse::matrix, false);
    for (size_t t = 0; t < map_.theirs.size(); ++t) {
      const std::vector<Piece>& pieces = map_.theirs[t].pieces;
      for (size_t p = 0; p < pieces.size(); ++p) map_.places.emplace(pieces[p].ours, std::pair(t, p));
    }
    return std::move(map_);
  }

 private:
  // Their name with the block's and the expert's number, and an ending.
  std::string their_name(const char* name, const char* ending) const {
    MOE_CHECK(name, "the layout has no name for a tensor that the model has");
    return replaced(replaced(name, "{i}", block_), "{e}", expert_) + ending;
  }
  TheirTensor& add(const std::string& name, const Dims& dims, TensorUse use) {
    return map_.theirs.emplace_back(TheirTensor{name, dims, use, {}});
  }
  void add_ours(const std::string& name, const Dims& dims) { map_.ours.push_back({name, dims}); }
  static Piece whole(const std::string& ours, int64_t rows, Change change = Change::none) {
    return {.ours = ours, .rows = rows, .change = change};
  }

  // A matrix (out, in) of ours that is one of theirs.
  void matrix(const std::string& ours, const char* theirs, int64_t out, int64_t in, TensorUse use, bool may_turn) {
    add_ours(ours, {out, in});
    const bool turned = may_turn && names_.linear_is_transposed;
    add(their_name(theirs, ".weight"), turned ? Dims{in, out} : Dims{out, in}, use)
        .pieces.push_back(whole(ours, turned ? in : out, turned ? Change::transposed : Change::none));
  }
  void vector(const std::string& ours, const std::string& theirs, int64_t n, TensorUse use,
              Change change = Change::none) {
    add_ours(ours, {n});
    add(theirs, {n}, use).pieces.push_back(whole(ours, n, change));
  }
  void norm(const std::string& ours, const char* theirs, int64_t width = 0) {
    const int64_t n = width > 0 ? width : m_.d_model;
    vector(ours + ".weight", their_name(theirs, ".weight"), n, TensorUse::norm);
    if (m_.layer_norm) vector(ours + ".bias", their_name(theirs, ".bias"), n, TensorUse::norm);
  }

  void block(int64_t i) {
    block_ = i;
    const std::string ours = fmt::format("blocks.{}", i);
    norm(ours + ".attention_norm", names_.attention_norm);
    attention(ours + ".attention");
    norm(ours + ".feed_forward_norm", names_.feed_forward_norm);
    if (m_.is_moe[as_index(i)])
      experts(ours + ".moe");
    else
      feed_forward(ours + ".feed_forward", {names_.dense_gate, names_.dense_up, names_.dense_down}, m_.d_ff);
  }

  void attention(const std::string& ours) {
    const int64_t queries = m_.heads * m_.d_head, keys = m_.kv_heads * m_.d_head, width = queries + 2 * keys;
    if (names_.fused_qkv) {
      linear(ours + ".qkv", names_.fused_qkv, width, m_.d_model, m_.qkv_bias);
    } else {
      add_ours(ours + ".qkv.weight", {width, m_.d_model});
      if (m_.qkv_bias) add_ours(ours + ".qkv.bias", {width});
      part_of_qkv(ours, names_.query, 0, queries);
      part_of_qkv(ours, names_.key, queries, keys);
      part_of_qkv(ours, names_.value, queries + keys, keys);
    }
    linear(ours + ".output", names_.output, m_.d_model, queries, m_.attention_output_bias);
    if (m_.qk_norm == QkNorm::none) return;
    const bool full = m_.qk_norm == QkNorm::full;
    vector(ours + ".q_norm.weight", their_name(names_.query_norm, ".weight"), full ? queries : m_.d_head,
           TensorUse::norm);
    vector(ours + ".k_norm.weight", their_name(names_.key_norm, ".weight"), full ? keys : m_.d_head, TensorUse::norm);
  }
  void part_of_qkv(const std::string& ours, const char* theirs, int64_t row, int64_t rows) {
    add(their_name(theirs, ".weight"), {rows, m_.d_model}, TensorUse::matrix)
        .pieces.push_back({.ours = ours + ".qkv.weight", .our_row = row, .rows = rows});
    if (!m_.qkv_bias && !names_.always_qkv_bias) return;
    add(their_name(theirs, ".bias"), {rows}, TensorUse::bias)
        .pieces.push_back({.ours = m_.qkv_bias ? ours + ".qkv.bias" : std::string(), .our_row = row, .rows = rows});
  }
  void linear(const std::string& ours, const char* theirs, int64_t out, int64_t in, bool bias) {
    matrix(ours + ".weight", theirs, out, in, TensorUse::matrix, true);
    if (bias) vector(ours + ".bias", their_name(theirs, ".bias"), out, TensorUse::bias);
  }

  struct FeedForwardNames {
    const char *gate, *up, *down;
  };
  // A dense layer or an expert: our first matrix has the rows of the gate, then those of `up`.
  void feed_forward(const std::string& ours, const FeedForwardNames& names, int64_t d_ff,
                    TensorUse use = TensorUse::matrix, Change down = Change::none) {
    if (m_.activation != "swiglu") {  // no gate
      linear(ours + ".input", names.up, d_ff, m_.d_model, m_.feed_forward_bias);
      linear(ours + ".output", names.down, m_.d_model, d_ff, m_.feed_forward_bias);
      return;
    }
    add_ours(ours + ".input.weight", {2 * d_ff, m_.d_model});
    add_ours(ours + ".output.weight", {m_.d_model, d_ff});
    if (m_.feed_forward_bias) {
      add_ours(ours + ".input.bias", {2 * d_ff});
      add_ours(ours + ".output.bias", {m_.d_model});
    }
    const auto half = [&](const char* theirs, int64_t row) {
      add(their_name(theirs, ".weight"), {d_ff, m_.d_model}, use)
          .pieces.push_back({.ours = ours + ".input.weight", .our_row = row, .rows = d_ff});
      if (!m_.feed_forward_bias) return;
      add(their_name(theirs, ".bias"), {d_ff}, TensorUse::bias)
          .pieces.push_back({.ours = ours + ".input.bias", .our_row = row, .rows = d_ff});
    };
    half(names.gate, 0);
    half(names.up, d_ff);
    add(their_name(names.down, ".weight"), {m_.d_model, d_ff}, use)
        .pieces.push_back(whole(ours + ".output.weight", m_.d_model, down));
    if (m_.feed_forward_bias)
      add(their_name(names.down, ".bias"), {m_.d_model}, TensorUse::bias)
          .pieces.push_back(whole(ours + ".output.bias", m_.d_model));
  }

  void experts(const std::string& ours) {
    const PlainExperts& e = m_.experts;
    matrix(ours + ".router.weight", names_.router, e.count, m_.d_model, TensorUse::router, false);
    if (e.routing.selection_bias) {
      vector(ours + ".router.bias", their_name(names_.selection_bias, ""), e.count, TensorUse::selection_bias,
             e.routing.groups > 1 ? Change::raised : Change::none);
    }
    for (expert_ = 0; expert_ < e.count; ++expert_) {
      feed_forward(fmt::format("{}.experts.{}", ours, expert_),
                   {names_.expert_gate, names_.expert_up, names_.expert_down}, e.d_ff, TensorUse::expert);
    }
    expert_ = 0;
    shared_expert(ours);
  }

  // With a switch that is zero the layout halves the shared expert, so that its last matrix is doubled.
  void shared_expert(const std::string& ours) {
    const FeedForwardNames names{names_.shared_gate, names_.shared_up, names_.shared_down};
    const PlainExperts& e = m_.experts;
    if (e.shared_d_ff > 0) {
      const bool halved = names_.shared_switch && !e.shared_gate;
      feed_forward(ours + ".shared", names, e.shared_d_ff, TensorUse::matrix, halved ? Change::doubled : Change::none);
    } else if (names_.absent_shared_d_ff != 0) {
      const int64_t width = names_.absent_shared_d_ff == TensorNames::kAsOneExpert ? e.d_ff : names_.absent_shared_d_ff;
      zeros(names.gate, {width, m_.d_model});
      zeros(names.up, {width, m_.d_model});
      zeros(names.down, {m_.d_model, width});
    }
    if (!names_.shared_switch) return;
    if (e.shared_gate)
      matrix(ours + ".shared_gate.weight", names_.shared_switch, 1, m_.d_model, TensorUse::router, false);
    else
      zeros(names_.shared_switch, {1, m_.d_model});
  }
  void zeros(const char* theirs, const Dims& dims) {
    add(their_name(theirs, ".weight"), dims, TensorUse::matrix).pieces.push_back({.ours = "", .rows = dims[0]});
  }

  const PlainModel& m_;
  const TensorNames& names_;
  TensorMap map_;
  int64_t block_ = 0, expert_ = 0;
};

// (rows, columns) -> (columns, rows)
std::vector<float> transposed(const std::vector<float>& x, int64_t rows, int64_t columns) {
  std::vector<float> y(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) y[as_index(c * rows + r)] = x[as_index(r * columns + c)];
  }
  return y;
}

// Applies a change to values of ours with `columns` per row of theirs, or reverses it.
void apply(Change change, bool backwards, std::span<float> values) {
  if (change == Change::doubled) {
    for (float& x : values) x *= backwards ? 0.5f : 2.0f;
  } else if (change == Change::raised && !backwards && !values.empty()) {
    const float least = std::min(0.0f, *std::min_element(values.begin(), values.end()));
    for (float& x : values) x -= least;
  }
}

}  // namespace

int64_t TheirTensor::columns() const {
  return dims.empty() || dims[0] == 0 ? 1 : elements(dims) / dims[0];
}

bool TheirTensor::is_zero() const {
  return std::all_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.ours.empty(); });
}

TensorMap map_tensors(const PlainModel& model, const TensorNames& names) {
  return Mapper(model, names).run();
}

std::vector<float> their_values(const TheirTensor& tensor, const ReadTensor& read) {
  std::vector<float> values(static_cast<size_t>(elements(tensor.dims)));
  const int64_t columns = tensor.columns();
  for (const Piece& piece : tensor.pieces) {
    if (piece.ours.empty()) continue;
    const std::vector<float> ours = read(piece.ours);
    const std::span<float> out =
        std::span(values).subspan(as_index(piece.their_row * columns), as_index(piece.rows * columns));
    if (piece.change == Change::transposed) {
      MOE_CHECK(ours.size() == out.size(), "{}: only a whole tensor is transposed", piece.ours);
      const std::vector<float> turned = transposed(ours, columns, piece.rows);
      std::copy(turned.begin(), turned.end(), out.begin());
      continue;
    }
    const auto begin = ours.begin() + piece.our_row * columns;
    MOE_CHECK((piece.our_row + piece.rows) * columns <= std::ssize(ours), "{}: {} has no rows [{}, {})", tensor.name,
              piece.ours, piece.our_row, piece.our_row + piece.rows);
    std::copy(begin, begin + piece.rows * columns, out.begin());
    apply(piece.change, false, out);
  }
  return values;
}

std::vector<float> our_values(const OurTensor& tensor, const TensorMap& map, const ReadTensor& read) {
  std::vector<float> values(static_cast<size_t>(elements(tensor.dims)));
  int64_t filled = 0;
  const auto [first, last] = map.places.equal_range(tensor.name);
  for (auto place = first; place != last; ++place) {
    const TheirTensor& theirs = map.theirs[place->second.first];
    const Piece& piece = theirs.pieces[place->second.second];
    const int64_t columns = theirs.columns(), count = piece.rows * columns;
    const std::vector<float> whole = read(theirs.name);
    MOE_CHECK(std::ssize(whole) == elements(theirs.dims), "{} has {} values, expected {}", theirs.name, whole.size(),
              to_string(theirs.dims));
    filled += count;
    if (piece.change == Change::transposed) {
      values = transposed(whole, piece.rows, columns);
      continue;
    }
    const std::span<float> out = std::span(values).subspan(as_index(piece.our_row * columns), as_index(count));
    std::copy_n(whole.begin() + piece.their_row * columns, count, out.begin());
    apply(piece.change, true, out);
  }
  MOE_CHECK(filled == std::ssize(values), "{}: {} of {} values have a place", tensor.name, filled, values.size());
  return values;
}

}  // namespace moe
