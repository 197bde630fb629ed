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

  void fields(FieldVisitor& v) override {
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
};

// The number of experts of a layer, and the factor by which events of moe.lifecycle have multiplied its experts per
// token.
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
  ChoiceList<ExpertEvent> lifecycle;

  LayerOverrides layers{{},
                        {"router", "strategy", "experts", "d_ff", "shared_experts", "capacity", "balance", "dropout",
                         "hidden_dropout", "expert_init"}};

  // The factor by which events of moe.lifecycle have multiplied the experts per token so far; `experts` is also the
  // current number. It is not a key, but part of a run's state.
  double k_factor = 1;
  // The same for single blocks after events. Empty before the first event.
  std::map<int64_t, ExpertNumbers> now;

  // The configuration of a block, with the overrides of moe.layers and the changes by events. Throws UsageError for a
  // range of blocks that the model does not have.
  MoEConfig of_block(int64_t block, int64_t blocks) const;

  void fields(FieldVisitor& v) override {
    v.field("experts", experts, "number of routed experts per MoE layer, over all ranks", {1, 1 << 16});
    v.field("d_ff", d_ff, "inner width of an expert; 0 = the dense layers' inner width (model.d_ff)", {0, 1 << 22});
    v.field("shared_experts", shared_experts,
            "number of experts that process every token in addition to the routed ones", {0, 1024});
    v.field("expert_init", expert_init,
            "initial weights of experts: normal = like other weights; small = uniform within 1/d_model, so that all "
            "experts start with nearly equal responses",
            {"normal", "small"});
    v.schedule("dropout", dropout, "Dropout rate of the experts' outputs in training, before they are combined.");
    v.schedule("hidden_dropout", hidden_dropout,
               "Dropout rate of the hidden units of the routed experts in training, after the activation.");
    v.choice("router", router, "The router, which chooses the experts of each token.");
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
};

// The configurations of a model's MoE blocks, by block index. Throws UsageError in the same cases as of_block(), and
// for a range of moe.layers without a MoE block.
std::map<int64_t, MoEConfig> moe_blocks(const ModelConfig& model, const MoEConfig& moe);
// The smallest number of experts of any layer, which limits the number of ranks that can share experts. moe.experts for
// a dense model.
int64_t smallest_experts(const ModelConfig& model, const MoEConfig& moe);

}  // namespace moe
