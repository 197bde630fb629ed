#include "core/convert/method_lines.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/convert/option_values.h"
#include "core/moe/router.h"
#include "core/moe/strategy.h"

namespace moe {

const char* name_of(Fate fate) {
  switch (fate) {
    case Fate::exact:
      return "exact";
    case Fate::folded:
      return "exact after folding";
    case Fate::refused:
      return "refused";
    case Fate::depends:
      return "depends on its options";
  }
  return "?";
}

namespace {

OptionValues router_options(const RouterCase& c) {
  return OptionValues(c.moe.router, c.run, c.update);
}

int64_t rounded_k(double k, const RouterCase& c) {
  return std::clamp<int64_t>(std::lround(c.moe.k_factor * k), 1, c.moe.experts);
}

void take_temperature(RouterPlan& plan, const OptionValues& options) {
  plan.temperature = options.number("temperature");
  plan.learned_temperature = options.flag("learn_temperature");
}

// A softmax router with `k` experts per token.
RouterPlan softmax(const OptionValues& options, int64_t k) {
  RouterPlan plan;
  plan.routing.k = k;
  plan.routing.renormalise = options.word("softmax") == "chosen" || options.flag("renormalise");
  take_temperature(plan, options);
  return plan;
}

RouterPlan plan_topk(const RouterCase& c) {
  const OptionValues options = router_options(c);
  return softmax(options, rounded_k(options.number("k"), c));
}

RouterPlan plan_share(const RouterCase& c) {
  const OptionValues options = router_options(c);
  const double experts = static_cast<double>(c.moe.experts);
  const int64_t k = std::clamp<int64_t>(std::lround(experts * options.number("share")), 1, c.moe.experts);
  return softmax(options, k);
}

RouterPlan plan_switch(const RouterCase& c) {
  RouterPlan plan;
  plan.routing.k = rounded_k(1, c);
  plan.routing.renormalise = false;
  take_temperature(plan, router_options(c));
  return plan;
}

RouterPlan plan_gshard(const RouterCase& c) {
  RouterPlan plan;
  plan.routing.k = 2;
  take_temperature(plan, router_options(c));
  return plan;
}

RouterPlan plan_sigmoid_bias(const RouterCase& c) {
  const OptionValues options = router_options(c);
  RouterPlan plan;
  plan.routing.k = rounded_k(options.number("k"), c);
  plan.routing.sigmoid = plan.routing.selection_bias = true;
  plan.routing.groups = options.integer("groups");
  plan.routing.group_limit = std::min(options.integer("group_limit"), plan.routing.groups);
  plan.routing.renormalise = options.flag("renormalise");
  plan.routing.scale = options.number("scale");
  take_temperature(plan, options);
  return plan;
}

RouterPlan plan_hyper(const RouterCase& c) {
  const OptionValues options = router_options(c);
  RouterPlan plan = softmax(options, rounded_k(options.number("k"), c));
  plan.matrix = RouterMatrix::hypernetwork;
  if (options.word("form") == "source") {
    plan.refusal = "with form: source the hypernetwork also gives the logits a bias, which no layout has";
    plan.has_nearest = false;
  }
  return plan;
}

RouterPlan plan_bayesian(const RouterCase& c) {
  RouterPlan plan = plan_topk(c);
  if (router_options(c).word("posterior") == "ensemble") plan.matrix = RouterMatrix::mean_of_heads;
  return plan;
}

RouterPlan plan_uniform(const RouterCase& c) {
  RouterPlan plan;
  plan.routing.k = c.moe.experts;
  plan.matrix = RouterMatrix::zeros;
  return plan;
}

RouterPlan refused(const char* why) {
  RouterPlan plan;
  plan.refusal = why;
  plan.has_nearest = false;
  return plan;
}

constexpr const char* kExpertChoice =
    "experts choose tokens by comparing all tokens of a group, later ones too; in other programs tokens choose experts";
RouterPlan plan_expert_choice(const RouterCase& c) {
  const OptionValues options = router_options(c);
  RouterPlan plan;
  plan.refusal = kExpertChoice;
  plan.routing.k = rounded_k(options.number("capacity"), c);
  plan.routing.renormalise = false;
  take_temperature(plan, options);
  return plan;
}

constexpr const char* kCosine =
    "its logits are cosines, which divide by the token's length; the layouts have logits that are linear in the token";
constexpr const char* kStable = "experts are chosen by the token id through a distilled router";
constexpr const char* kHash = "experts are chosen by a hash of the token id";
constexpr const char* kRelu = "the number of experts differs from token to token: all with a positive logit";
constexpr const char* kTwoLevels = "groups are chosen by a second matrix, and experts within each chosen group";
constexpr const char* kPrompt = "its logits also depend on the domain of the text";
constexpr const char* kMlp = "its logits come from two layers; the layouts have one matrix";
constexpr const char* kRandom = "experts are drawn at random for each token";

constexpr RouterLine kRouters[] = {
    {"topk", Fate::exact, "a softmax over all experts and the k largest, with or without renormalisation", plan_topk},
    {"noisy_topk", Fate::exact, "topk: there is no noise at evaluation", plan_topk},
    {"switch", Fate::exact, "topk with k = 1, without renormalisation", plan_switch},
    {"temperature", Fate::folded, "topk: the router's matrix is divided by the learned temperature", plan_topk},
    {"expert_choice", Fate::refused, kExpertChoice, plan_expert_choice},
    {"cosine", Fate::refused, kCosine, [](const RouterCase&) { return refused(kCosine); }},
    {"perturbed_cosine", Fate::refused, kCosine, [](const RouterCase&) { return refused(kCosine); }},
    {"stable", Fate::refused, kStable, [](const RouterCase&) { return refused(kStable); }},
    {"random_frozen", Fate::exact, "topk with the k of the last update", plan_share},
    {"sigmoid_bias", Fate::exact, "sigmoid scores with a bias for the choice (dots1)", plan_sigmoid_bias},
    {"gshard", Fate::exact, "topk with k = 2: both experts are kept at evaluation", plan_gshard},
    {"hyper", Fate::depends,
     "with form: ours topk, whose matrix is computed once; form: source has a bias of the logits", plan_hyper},
    {"sinkhorn", Fate::exact, "topk: there is no balanced assignment at evaluation", plan_topk},
    {"hash", Fate::refused, kHash, [](const RouterCase&) { return refused(kHash); }},
    {"relu", Fate::refused, kRelu, [](const RouterCase&) { return refused(kRelu); }},
    {"hierarchical", Fate::refused, kTwoLevels, [](const RouterCase&) { return refused(kTwoLevels); }},
    {"prompt", Fate::refused, kPrompt, [](const RouterCase&) { return refused(kPrompt); }},
    {"mlp", Fate::refused, kMlp, [](const RouterCase&) { return refused(kMlp); }},
    {"random", Fate::refused, kRandom, [](const RouterCase&) { return refused(kRandom); }},
    {"replay", Fate::exact, "topk: no choices are repeated at evaluation", plan_topk},
    {"reinforce", Fate::exact, "topk: experts are drawn in training only", plan_topk},
    {"bayesian", Fate::folded, "topk with the posterior's mean, which is computed once for posterior: ensemble",
     plan_bayesian},
    {"uniform", Fate::folded, "topk of all experts with a router of zeros, which gives each the same weight",
     plan_uniform},
};

constexpr StrategyLine kStrategies[] = {
    {"plain", Fate::exact, "the router's choice"},
    {"compete", Fate::exact, "the router's choice: experts compete in training only"},
    {"stochastic", Fate::exact, "the router's choice: the noisy copy of a token exists in training only"},
    {"hierarchical", Fate::refused, "each group of experts has its own router, and a token goes to several groups"},
    {"contrastive", Fate::exact, "the router's choice: the contrastive loss exists in training only"},
    {"change", Fate::depends, "as the strategy that is in force at the checkpoint"},
};

constexpr CapacityLine kCapacities[] = {
    {"bandit", Fate::depends, "exact unless `evaluation` drops assignments"},
    {"complexity", Fate::depends, "exact unless `evaluation` drops assignments"},
    {"dropless", Fate::exact, "nothing is dropped"},
    {"fixed", Fate::depends, "exact unless `evaluation` drops assignments"},
    {"needed", Fate::depends, "exact unless `evaluation` drops assignments"},
};

constexpr const char* kTrainingTensors[] = {
    ".router.noise.weight",  // of noisy_topk
    ".router.baseline.weight",
    ".router.baseline.moments",      // of reinforce
    ".router.log_deviation.weight",  // of bayesian
    ".merge_gate.weight",
    ".merge_gate.bias",
    ".noise.moments",  // of the strategy stochastic
    ".prototypes",     // of the strategy contrastive
};

template <class Line>
const Line& line_of(std::span<const Line> lines, const std::string& name) {
  const auto found = std::find_if(lines.begin(), lines.end(), [&](const Line& line) { return name == line.name; });
  MOE_CHECK(found != lines.end(), "{} has no line", name);
  return *found;
}

// Finds the strategy that a `change` has come to.
class StrategyInForce : public FieldWalker {
 public:
  StrategyInForce(const ChoiceBase& strategy, const RouterCase& c) : case_(c) { look(strategy); }
  std::string name;

 private:
  using FieldWalker::field;
  void look(const ChoiceBase& strategy) {
    name = strategy.kind();
    if (name != "change") return;
    const std::unique_ptr<FieldSet> options = strategy.options().clone();
    first_ = then_ = nullptr;
    options->fields(*this);
    MOE_CHECK(first_ && then_, "a change of strategies without them");
    const bool changed = case_.update >= static_cast<uint64_t>(to_whole_updates(at_, case_.run));
    look(*(changed ? then_ : first_));
  }
  void field(const char* key, Duration& value, const char*, Lengths) override {
    if (std::string_view(key) == "at") at_ = value;
  }
  void choice(const char* key, ChoiceBase& value, const char*) override {
    (std::string_view(key) == "first" ? first_ : then_) = &value;
  }

  const RouterCase& case_;
  const ChoiceBase *first_ = nullptr, *then_ = nullptr;
  Duration at_;
};

}  // namespace

std::span<const RouterLine> router_lines() {
  return kRouters;
}
std::span<const StrategyLine> strategy_lines() {
  return kStrategies;
}
std::span<const CapacityLine> capacity_lines() {
  return kCapacities;
}
std::span<const char* const> training_tensors() {
  return kTrainingTensors;
}

RouterPlan plan_router(const RouterCase& c) {
  RouterPlan plan = line_of(router_lines(), c.moe.router.kind()).plan(c);
  if (plan.learned_temperature) plan.temperature = 1;
  return plan;
}

std::string strategy_refusal(const RouterCase& c) {
  const StrategyInForce strategy(c.moe.strategy, c);
  const StrategyLine& line = line_of(strategy_lines(), strategy.name);
  return line.fate == Fate::refused ? line.how : std::string();
}

std::string capacity_refusal(const RouterCase& c) {
  if (line_of(capacity_lines(), c.moe.capacity.kind()).fate == Fate::exact) return {};
  const double factor = OptionValues(c.moe.capacity, c.run, c.update).number("evaluation");
  return factor == 0 ? std::string() : "an expert takes a limited number of tokens at evaluation too (`evaluation`)";
}

}  // namespace moe
