// Writes a trained model as a folder that transformers, vLLM and other programs load.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/convert/exportable.h"
#include "core/convert/hf_layout.h"
#include "core/checkpoint/number_format.h"

namespace moe {

struct HfExportOptions {
  NumberFormat format = NumberFormat::f32;
  int64_t shard_bytes = int64_t{5} << 30;
  std::string layout{};      // empty: the first that is exact
  bool approximate = false;  // leave out what the layouts cannot express, where that is possible
};

struct HfExport {
  std::string checkpoint{}, layout{};
  int64_t tensors = 0, parameters = 0;
  std::vector<Refusal> left_out{};  // by `approximate`
  std::string tokenizer_warning{};
  std::string tokenizer_refusal{};  // why there is no tokenizer; empty: there is one
};

// `checkpoint`: its folder. `out` must not exist, or be an empty folder; it is complete or absent in the end. Needs no
// device. Throws UsageError for a model that no layout expresses, with the reasons, and CheckpointError.
HfExport to_hf(const std::string& checkpoint, const std::string& out, const HfExportOptions& options);

// A size such as 500MB or 5GiB, in bytes. Throws UsageError.
int64_t parse_bytes(const std::string& text);

}  // namespace moe
