// The architectures of llama.cpp that models are written as and read from: for each, which models it computes exactly,
// its metadata in both directions, and how it wants the tensors. Read in src/models of llama.cpp in llama-cpp-python
// 0.3.36; tests/interop compares logits.
#pragma once
#include <string>
#include <vector>

#include "core/base/table.h"
#include "core/convert/gguf_file.h"
#include "core/convert/plain_model.h"

namespace moe {

struct GgufLayout {
  std::string name;  // general.architecture
  const char* help;
  // Adds to `reasons` why llama.cpp does not compute the same.
  void (*check)(const PlainModel& model, std::vector<std::string>& reasons);
  // Metadata besides the common ones, without the architecture's prefix.
  void (*write)(const PlainModel& model, std::vector<GgufEntry>& metadata);
  void (*read)(const GgufFile& file, const std::string& prefix, PlainModel& model);
  bool interleaved = false;   // rotary pairs are neighbours: (2j, 2j + 1) in place of (j, j + d_head / 2)
  bool wants_head = false;    // the head is stored although it is the embedding
  bool wants_shared = false;  // there is always a shared expert, as wide as a whole number of experts
  bool one_width = false;     // experts have the width of dense layers in the metadata
  bool rope_factors = false;  // reads a factor for each rotary frequency, by which Llama 3's scaling is written
};
// In the order of preference where several compute a model.
const Table<GgufLayout>& gguf_layouts();

std::vector<std::string> why_not(const GgufLayout& layout, const PlainModel& model);
// As choose_layout() of hf_layout.h.
const GgufLayout& choose_gguf_layout(const PlainModel& model, const std::string& requested);

// The whole metadata but the vocabulary's. `name`: of the model.
std::vector<GgufEntry> gguf_metadata(const GgufLayout& layout, const PlainModel& model, const std::string& name,
                                     GgufFormat format);
// The layout of a file. Throws UsageError for an architecture that is not in the table.
const GgufLayout& layout_of(const GgufFile& file);
PlainModel read_model(const GgufLayout& layout, const GgufFile& file);

}  // namespace moe
