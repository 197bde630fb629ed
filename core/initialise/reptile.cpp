#include "core/initialise/reptile.h"

#include "core/initialise/exact_values.h"
#include "core/ops/elementwise.h"

namespace moe {
namespace {

class Reptile {
 public:
  Reptile(TrainingState& state, TrainStep& step, const TrainConfig& config, const DomainSource& batches)
      : state_(state), step_(step), config_(config.init.reptile), batches_(batches), seed_(state.ctx.seed) {
    groups_.push_back(ParameterGroup::expert);
    if (config_.parameters == "all") groups_.push_back(ParameterGroup::shared);
  }

  ReptileReport run() {
    for (int64_t round = 0; round < config_.rounds; ++round) {
      double loss = 0;
      std::vector<std::vector<float>> start;
      std::vector<std::vector<double>> way;  // sums over the domains
      for (const ParameterGroup group : groups_) {
        start.push_back(exact_values(state_, group));
        way.emplace_back(start.back().size());
      }
      for (int64_t domain = 0; domain < config_.domains; ++domain) {
        loss += descend(round, domain) / static_cast<double>(config_.domains);
        for (size_t g = 0; g < groups_.size(); ++g) {
          const std::vector<float> end = exact_values(state_, groups_[g]);
          for (size_t i = 0; i < end.size(); ++i) {
            way[g][i] += static_cast<double>(end[i]) - static_cast<double>(start[g][i]);
          }
          set_exact_values(state_, groups_[g], start[g]);
        }
      }
      const double factor = config_.step_size / static_cast<double>(config_.domains);
      for (size_t g = 0; g < groups_.size(); ++g) {
        for (size_t i = 0; i < start[g].size(); ++i) {
          start[g][i] = static_cast<float>(static_cast<double>(start[g][i]) + factor * way[g][i]);
        }
        set_exact_values(state_, groups_[g], start[g]);
      }
      if (round == 0) report_.first_loss = loss;
      report_.last_loss = loss;
    }
    return report_;
  }

 private:
  // Runs the inner steps of a domain; returns the loss before them.
  double descend(int64_t round, int64_t domain) {
    double first = 0;
    for (int64_t i = 0; i < config_.inner_steps; ++i) {
      const int64_t number = (round * config_.domains + domain) * config_.inner_steps + i;
      state_.ctx.seed = RandomKey{seed_, RandomPurpose::reptile, 0, 0}.bits(static_cast<uint64_t>(number));
      const StepOutcome outcome = step_.accumulate(batches_(domain, round * config_.inner_steps + i), 0, 0);
      state_.ctx.seed = seed_;
      if (!outcome.finite()) {
        raise<DivergedError>(
            "init.reptile: round {}, domain {}, step {}: loss {}, gradient norm {}; a lower inner_rate "
            "may help",
            round + 1, domain, i + 1, outcome.loss, outcome.norm);
      }
      if (i == 0) first = outcome.loss;
      report_.tokens += outcome.tokens;
      for (const ParameterGroup group : groups_) go_down(group);
      for (const ParameterGroup group : kTrainedGroups) fill_zero(state_.ctx, state_.parameters.buffer(group).gradient);
    }
    return first;
  }

  void go_down(ParameterGroup group) {
    const ParameterBuffer& buffer = state_.parameters.buffer(group);
    const Tensor exact = state_.optimizer->has_master() ? state_.optimizer->held(group, Optimizer::kMaster) : Tensor{};
    add_scaled(state_.ctx, exact ? exact : buffer.value, buffer.gradient, -config_.inner_rate);
    if (exact) convert(state_.ctx, buffer.value, exact);
  }

  TrainingState& state_;
  TrainStep& step_;
  const ReptileConfig& config_;
  const DomainSource& batches_;
  const uint64_t seed_;
  std::vector<ParameterGroup> groups_;
  ReptileReport report_;
};

}  // namespace

ReptileReport start_by_reptile(TrainingState& state, TrainStep& step, const TrainConfig& config,
                               const DomainSource& batches) {
  return Reptile(state, step, config, batches).run();
}

}  // namespace moe
