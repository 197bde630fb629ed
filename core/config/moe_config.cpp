#include "core/config/moe_config.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/config/config_reader.h"

namespace moe {

static std::vector<int64_t> blocks_of(const LayerOverride& entry, int64_t blocks) {
  try {
    return BlockRange(entry.at).blocks(blocks);
  } catch (const UsageError& error) {
    raise<UsageError>("{}: {}.at {}", entry.origin, entry.key, error.what());
  }
}

MoEConfig MoEConfig::of_block(int64_t block, int64_t blocks) const {
  MoEConfig result = *this;
  for (const LayerOverride& entry : layers.entries) {
    const std::vector<int64_t> at = blocks_of(entry, blocks);
    if (std::find(at.begin(), at.end(), block) == at.end()) continue;
    read_config_over(entry.settings, entry.key, layers.keys, result);
  }
  result.layers.entries.clear();
  if (const auto found = now.find(block); found != now.end()) {
    result.experts = found->second.experts;
    result.k_factor = found->second.k_factor;
  }
  return result;
}

std::map<int64_t, MoEConfig> moe_blocks(const ModelConfig& model, const MoEConfig& moe) {
  const std::vector<bool> is_moe = model.moe_layers();
  for (const LayerOverride& entry : moe.layers.entries) {
    const std::vector<int64_t> at = blocks_of(entry, model.layers);
    if (std::any_of(at.begin(), at.end(), [&](int64_t block) { return is_moe[as_index(block)]; })) continue;
    raise<UsageError>("{}: {}.at '{}': none of these blocks is MoE (model.arrangement)", entry.origin, entry.key,
                      entry.at);
  }
  std::map<int64_t, MoEConfig> result;
  for (int64_t block = 0; block < model.layers; ++block) {
    if (is_moe[as_index(block)]) result.emplace(block, moe.of_block(block, model.layers));
  }
  return result;
}

int64_t smallest_experts(const ModelConfig& model, const MoEConfig& moe) {
  int64_t smallest = 0;
  for (const auto& [block, config] : moe_blocks(model, moe)) {
    smallest = smallest == 0 ? config.experts : std::min(smallest, config.experts);
  }
  return smallest == 0 ? moe.experts : smallest;
}

}  // namespace moe
