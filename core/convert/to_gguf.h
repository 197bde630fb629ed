// Writes a trained model as a GGUF file, which llama.cpp runs.
#pragma once
#include <cstdint>
#include <string>

#include "core/convert/gguf_numbers.h"

namespace moe {

struct GgufExportOptions {
  // Of matrices; norms, biases, routers and what cannot be divided into blocks have more exact ones.
  GgufFormat format = GgufFormat::f32;
  std::string layout{};  // empty: the first architecture that computes the model
};

struct GgufExport {
  std::string layout;
  int64_t tensors = 0, parameters = 0;
  std::string vocabulary_missing, note;  // GgufVocabulary
};

// `checkpoint`: its folder; `out`: the file, which must not exist. Throws UsageError for a model that llama.cpp does
// not compute, CheckpointError for files.
GgufExport to_gguf(const std::string& checkpoint, const std::string& out, const GgufExportOptions& options);

}  // namespace moe
