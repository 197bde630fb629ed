// moe: experts, and how tokens find them.
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

  void fields(FieldVisitor& v) override {
    v.field("share", share, "an expert's share of its layer's assignments that is too much; 0 = never", {0, 1});
    v.field("entropy", entropy, "mean entropy of a layer's router, over ln(experts), that is too little; 0 = never",
            {0, 1});
    v.field("updates", updates, "in a row that a layer is beyond a limit before the alarm goes off", {1, 1LL << 40});
    v.field(
        "action", action,
        "log: a warning and a record; raise: besides, the coefficients of the layer's balance losses are multiplied "
        "by `factor`; restart: besides, the layer's under-used experts become noisy copies of its busiest; stop: save "
        "a "
        "checkpoint and end with exit code 7",
        {"log", "raise", "restart", "stop"});
    v.field("factor", factor, "of raise, each time", {1, 1000});
    v.field("noise", noise, "of restart, over the root mean square of what it is added to", {0, 100});
  }
};

// How many experts a layer has, and what its experts per token have been multiplied by (moe.life).
struct ExpertNumbers {
  int64_t experts = 0;
  double k_factor = 1;
  auto operator<=>(const ExpertNumbers&) const = default;
};

struct MoEConfig : Fields<MoEConfig> {
  int64_t experts = 8;
  int64_t d_ff = 0;
  int64_t shared_experts = 0;
  std::string expert_init = "normal";
  ScheduleField dropout{0, {0, 0.99}}, hidden_dropout{0, {0, 0.99}};
  Choice<Router> router{"topk"};
  Choice<Strategy> strategy{"plain"};
  ChoiceList<BalanceLoss> balance{"switch", "z"};
  Choice<Capacity> capacity{"dropless"};
  AlarmConfig alarm;
  ChoiceList<ExpertEvent> life;

  LayerOverrides layers{{},
                        {"router", "strategy", "experts", "d_ff", "shared_experts", "capacity", "balance", "dropout",
                         "hidden_dropout", "expert_init"}};

  // What events of moe.life have multiplied the experts per token by so far; `experts` are those of that time, too. No
  // key: a run's state has it.
  double k_factor = 1;
  // Likewise of single blocks: what events have made of them. Empty before the first.
  std::map<int64_t, ExpertNumbers> now;

  // The configuration of a block: with what moe.layers overrides and what events have made of it. Throws UsageError for
  // a range of blocks that the model does not have.
  MoEConfig of_block(int64_t block, int64_t blocks) const;

  void fields(FieldVisitor& v) override {
    v.field("experts", experts, "routed experts per MoE layer, over all ranks", {1, 1 << 16});
    v.field("d_ff", d_ff, "inner width of an expert; 0 = the dense layers' d_ff", {0, 1 << 22});
    v.field("shared_experts", shared_experts, "experts that every token passes through besides the routed ones",
            {0, 1024});
    v.field("expert_init", expert_init,
            "normal: like other weights; small: uniform within 1/d_model, so that all responses start as near ties",
            {"normal", "small"});
    v.schedule("dropout", dropout,
               "Share of the experts' outputs that is zeroed in training before they are combined.");
    v.schedule("hidden_dropout", hidden_dropout,
               "Share of the units inside the routed experts, behind the activation, that is zeroed in training.");
    v.choice("router", router, "Which experts a token goes to.");
    v.choice("strategy", strategy, "How a MoE layer uses its router and experts.");
    v.choices("balance", balance, "Auxiliary losses on the routing, each with its coefficient.");
    v.choice("capacity", capacity, "How many tokens an expert takes at most; a number is a fixed factor.");
    v.group("alarm", alarm, "What to do when few experts get all tokens.");
    v.choices("life", life, "What happens to experts during the run, in this order where two things happen at once.");
    v.overrides("layers", layers,
                "Settings of some blocks, over those beside this key: a list of {at: 0-2, router: hash}. `at` counts "
                "blocks from 0 (3, 0-2, last, or several: 0, 2-3); where entries meet, the later wins, key by key");
  }
};

// The configurations of a model's MoE blocks, in order, by block. Throws UsageError as of_block() does, and for a range
// of moe.layers without a MoE block.
std::map<int64_t, MoEConfig> moe_blocks(const ModelConfig& model, const MoEConfig& moe);
// The number of experts of the layer that has fewest: as many ranks can share them. moe.experts for a dense model.
int64_t smallest_experts(const ModelConfig& model, const MoEConfig& moe);

}  // namespace moe
