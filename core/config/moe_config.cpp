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

void AlarmConfig::fields(FieldVisitor& v) {
  v.field("share", share,
          "upper limit of an expert's share of its layer's assignments, above which the alarm counts; 0 = no limit",
          {0, 1});
  v.field("entropy", entropy,
          "lower limit of the mean entropy of a layer's router, relative to ln(experts), below which the alarm "
          "counts; 0 = no limit",
          {0, 1});
  v.field("updates", updates,
          "number of consecutive updates that a layer must be beyond a limit before the alarm is raised",
          {1, 1LL << 40});
  v.field("action", action,
          "what happens at an alarm: log = a warning and a record; raise = in addition, multiply the coefficients of "
          "the layer's balance losses by `factor`; restart = in addition to log, replace the layer's under-used "
          "experts by noisy copies of its most used one; stop = save a checkpoint and exit with code 7",
          {"log", "raise", "restart", "stop"});
  v.field("factor", factor, "factor on the coefficients each time the alarm is raised (action: raise)", {1, 1000});
  v.field("noise", noise,
          "standard deviation of the noise on restarted experts, relative to the root mean square of the weights "
          "(action: restart)",
          {0, 100});
}

MoEConfig::MoEConfig() = default;
MoEConfig::MoEConfig(const MoEConfig&) = default;
MoEConfig& MoEConfig::operator=(const MoEConfig&) = default;
MoEConfig::~MoEConfig() = default;

void MoEConfig::fields(FieldVisitor& v) {
  v.field("experts", experts, "number of routed experts per MoE layer, over all ranks", {1, 1 << 16});
  v.field("d_ff", d_ff, "inner width of an expert; 0 = the dense layers' inner width (model.d_ff)", {0, 1 << 22});
  v.field("shared_experts", shared_experts, "number of experts that process every token in addition to the routed ones",
          {0, 1024});
  v.field("shared_gate", shared_gate,
          "multiply the output of the shared experts by a learned gate, sigmoid(g . x) with a vector g, for each token "
          "(as in Qwen2-MoE); needs shared_experts above 0");
  v.field("expert_init", expert_init,
          "initial weights of experts: normal = like other weights; small = uniform within 1/d_model, so that all "
          "experts start with nearly equal responses",
          {"normal", "small"});
  v.schedule("dropout", dropout, "Dropout rate of the experts' outputs in training, before they are combined.");
  v.schedule("hidden_dropout", hidden_dropout,
             "Dropout rate of the hidden units of the routed experts in training, after the activation.");
  v.choice("router", router, "The router, which chooses the experts of each token.");
  v.field(
      "modality_bias", modality_bias,
      "routers add a learned bias per expert and modality to the logits, so that they know of each token whether it "
      "is part of the first or the second part of a pair; for task: pairs");
  v.choice("strategy", strategy, "The strategy: how a MoE layer uses its router and experts.");
  v.choices("balance", balance, "Balance losses: auxiliary losses on the routing, each with its coefficient.");
  v.choice("capacity", capacity, "Limit on the number of tokens per expert; a number means a fixed factor.");
  v.group("alarm", alarm, "Alarm for routing collapse, when few experts get all tokens.");
  v.choices("lifecycle", lifecycle,
            "Events that change the experts during the run; events of the same update happen in this order.");
  v.overrides(
      "layers", layers,
      "Overrides of the keys of `moe` for some blocks: a list of {at: 0-2, router: hash}. `at` counts blocks from 0 "
      "(3, 0-2, last, or several: 0, 2-3); if several entries name a block, the later one wins, key by key.");
}

}  // namespace moe
