// Reads a model from a GGUF file as a run of ours at step 0.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct GgufImport {
  std::string layout, tokenizer, tokenizer_missing;
  int64_t parameters = 0, sequence = 0;
  std::vector<std::string> unread;  // keys of the architecture that were not used
};

// `sequence`: data.sequence of the run; 0: the model's length, at most 2048. Throws UsageError for an architecture or a
// model that ours cannot be, CheckpointError for files.
GgufImport from_gguf(const std::string& file, const std::string& out, int64_t sequence);

}  // namespace moe
