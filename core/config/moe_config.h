// moe: experts, and how tokens find them.
#pragma once
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

  // What events of moe.life have multiplied the experts per token by so far; `experts` are those of that time, too. No
  // key: a run's state has it.
  double k_factor = 1;

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
  }
};

}  // namespace moe
