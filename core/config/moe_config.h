// moe: experts and routing.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/config/layer_overrides.h"
#include "core/config/model_config.h"
#include "core/config/schedule_field.h"

namespace moe {

class Router;
class Strategy;
class BalanceLoss;
class Capacity;
class ExpertEvent;
template <>
const Table<Member>& family<Router>();
template <>
const Table<Member>& family<Strategy>();
template <>
const Table<Member>& family<BalanceLoss>();
template <>
const Table<Member>& family<Capacity>();
template <>
const Table<Member>& family<ExpertEvent>();
// `capacity: 1.25` is a fixed factor.
template <>
inline constexpr NumberShorthand kNumberShorthand<Capacity>{"fixed", "factor"};

struct AlarmConfig : Fields<AlarmConfig> {
  double share = 0, entropy = 0;
  int64_t updates = 100;
  std::string action = "log";
  double factor = 2, noise = 0.05;

  void fields(FieldVisitor& v) override;
};

// The number of experts of a layer, and the factor by which events of moe.lifecycle have multiplied its experts per
// token.
struct ExpertNumbers {
  int64_t experts = 0;
  double k_factor = 1;
  auto operator<=>(const ExpertNumbers&) const = default;
};

struct MoEConfig : Fields<MoEConfig> {
  MoEConfig();  // these are defined in the .cpp, like TrainConfig's
  MoEConfig(const MoEConfig&);
  MoEConfig& operator=(const MoEConfig&);
  ~MoEConfig() override;

  int64_t experts = 8;
  int64_t d_ff = 0;
  int64_t shared_experts = 0;
  bool shared_gate = false;
  std::string expert_init = "normal";
  ScheduleField dropout{0, {0, 0.99}}, hidden_dropout{0, {0, 0.99}};
  Choice<Router> router{"topk"};
  bool modality_bias = false;
  Choice<Strategy> strategy{"plain"};
  ChoiceList<BalanceLoss> balance{"switch", "z"};
  Choice<Capacity> capacity{"dropless"};
  AlarmConfig alarm;
  ChoiceList<ExpertEvent> lifecycle;

  LayerOverrides layers{{},
                        {"router", "modality_bias", "strategy", "experts", "d_ff", "shared_experts", "shared_gate",
                         "capacity", "balance", "dropout", "hidden_dropout", "expert_init"}};

  // The factor by which events of moe.lifecycle have multiplied the experts per token so far; `experts` is also the
  // current number. It is not a key, but part of a run's state.
  double k_factor = 1;
  // The same for single blocks after events. Empty before the first event.
  std::map<int64_t, ExpertNumbers> now;

  // The configuration of a block, with the overrides of moe.layers and the changes by events. Throws UsageError for a
  // range of blocks that the model does not have.
  MoEConfig of_block(int64_t block, int64_t blocks) const;

  void fields(FieldVisitor& v) override;
};

// The configurations of a model's MoE blocks, by block index. Throws UsageError in the same cases as of_block(), and
// for a range of moe.layers without a MoE block.
std::map<int64_t, MoEConfig> moe_blocks(const ModelConfig& model, const MoEConfig& moe);
// The smallest number of experts of any layer, which limits the number of ranks that can share experts. moe.experts for
// a dense model.
int64_t smallest_experts(const ModelConfig& model, const MoEConfig& moe);

}  // namespace moe
