// The tensors of a GGUF file: the map of tensor_map.h with the names of llama.cpp, in which the experts of a layer are
// one tensor, and rotary pairs may be neighbours.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/convert/gguf_layout.h"
#include "core/convert/tensor_map.h"

namespace moe {

struct GgufMap {
  TensorMap map;
  // Experts of the tensors that hold several: their rows in the map are those of all experts. Of others, nothing.
  std::map<std::string, int64_t> experts;
  // Heads of the tensors whose rows are turned: queries and keys, where pairs are neighbours.
  std::map<std::string, int64_t> turned;

  // A tensor's dimensions in the file.
  Dims dims(const TheirTensor& tensor) const;
};

// `writes`: with the tensors that llama.cpp wants although they follow from others. Those are not read.
GgufMap map_gguf(const GgufLayout& layout, const PlainModel& model, bool writes);

// Rows (heads, 2, half, columns) <-> (heads, half, 2, columns).
std::vector<float> neighbouring_pairs(const std::vector<float>& rows, int64_t heads, int64_t row_count);
std::vector<float> separate_halves(const std::vector<float>& rows, int64_t heads, int64_t row_count);

// Llama 3's factors, by which llama.cpp divides the rotary frequencies: d_head / 2 of them.
std::vector<float> rope_factors(const PlainModel& model);

}  // namespace moe
