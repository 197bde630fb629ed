// Reads a Hugging Face checkpoint and writes it as a run of ours at step 0.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct HfImportOptions {
  int64_t sequence = 0;  // data.sequence; 0: the model's length, at most 2048
};

struct HfImport {
  std::string layout{};
  int64_t parameters = 0;
  int64_t sequence = 0;
  std::string tokenizer{};            // the kind of ours
  std::string tokenizer_missing{};    // why it is `external`; empty: it is not
  std::vector<std::string> unread{};  // keys of config.json without a meaning here
};

// `folder` has config.json and safetensors. `out`, the run's folder, must not exist or be empty. Holds one tensor at a
// time, so that the model may be larger than memory. Throws CheckpointError for a model that ours cannot be, with the
// reason.
HfImport from_hf(const std::string& folder, const std::string& out, const HfImportOptions& options);

}  // namespace moe
