// Overrides of settings for a range of blocks (moe.layers): `- {at: 0-2, router: hash}`.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/config/config_tree.h"

namespace moe {

// The blocks that `at` names, counted from 0: "3", "0-2", "last", or several of these as "0, 2-3, last".
class BlockRange {
 public:
  // Throws UsageError for any other text.
  explicit BlockRange(const std::string& text);
  // Throws UsageError for blocks that a model with `layers` blocks does not have.
  std::vector<int64_t> blocks(int64_t layers) const;

 private:
  struct Part {
    int64_t first, last;  // -1: the last block
  };
  std::vector<Part> parts_;
  std::string text_;
};

struct LayerOverride {
  std::string at;
  std::string key;  // "moe.layers.0"
  std::string origin;
  ConfigNode settings;  // without `at`
};

// In the order of the file. If two entries name the same block, the later one wins, key by key.
struct LayerOverrides {
  std::vector<LayerOverride> entries;
  std::vector<std::string> keys;  // keys that may be overridden
};

}  // namespace moe
