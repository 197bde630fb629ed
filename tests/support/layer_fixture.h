// One MoE layer on one rank, with everything it needs, and whole steps on any number of ranks.
#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config/moe_config.h"
#include "core/moe/moe_layer.h"
#include "tests/support/modules.h"

namespace moe::test {

// A configuration from YAML below `moe`. Throws UsageError for YAML that the families do not accept.
MoEConfig moe_config(const std::string& yaml);

// A router that is compatible with the balance loss.
inline const char* router_for(const std::string& balance_loss) {
  return balance_loss == "load" ? "noisy_topk" : "topk";
}

// A router with a strategy, with the members' default options; twice the experts where both halve their number.
MoEConfig combination(const std::string& yaml, const std::string& router, const std::string& strategy);

inline constexpr int64_t kModelWidth = 6;

// How rows travel between ranks.
struct Travel {
  bool placed = false;  // the experts are on the ranks by a random map from the start, and pairs are counted
  int64_t overlap = 1;
  std::vector<int> hosts{};  // of each rank; none: all on one
  AllToAll all_to_all = AllToAll::automatic;
  int64_t replicas = 0;  // of random experts, on every rank but the last; only if `placed`
};

struct LayerFixture {
  explicit LayerFixture(const MoEConfig& moe, const ProcessGroups& groups = ProcessGroups::single(),
                        const Travel& travel = {});

  Tensor forward(const TokenBatch& batch, ConstTensor x) {
    ctx.reset();
    std::fill(sums.begin(), sums.end(), 0.0);
    std::fill(loss_sums.begin(), loss_sums.end(), 0.0);
    return layer->forward(ctx, batch, x);
  }
  std::vector<double> counts() const { return {layer->load().counts.begin(), layer->load().counts.end()}; }

  // Inputs at which <y, d_y> plus the auxiliary losses is so smooth that no difference quotient meets another choice or
  // a kink, whatever the router and the strategy choose by. They are found by trial.
  Tensor smooth_inputs(const TokenBatch& batch, ConstTensor d_y);

  MoEConfig config;
  TestContext ctx{DType::f64};
  ParameterStore store;
  std::unique_ptr<MoELayer> layer;
  std::vector<double> sums, loss_sums;
};

// A step's batch and its results.
struct StepInput {
  int64_t time;
  std::vector<double> x, d_y;    // (tokens, kModelWidth)
  std::vector<int32_t> ids;      // (tokens)
  std::vector<int32_t> targets;  // (tokens)
  std::vector<double> losses;    // (tokens)
  int64_t tokens() const { return static_cast<int64_t>(targets.size()); }
};
struct StepResult {
  std::map<std::string, std::vector<double>> values;  // by name: y, d_x, sums, gradients by parameter name
};
StepInput step_input(int64_t sequences, int64_t time);

// Runs the step with the sequences distributed over ranks (sequences_per_rank.size() of them), of which
// `expert_parallel` share the experts. Reduces what the trainer would reduce and merges the ranks' results. What is
// started takes place as late as it may (LateCommunicator).
StepResult run_step(const MoEConfig& config, const StepInput& input, const std::vector<int64_t>& sequences_per_rank,
                    int64_t expert_parallel, const Travel& travel = {});

// Fails where `actual` differs from `expected` by more than rounding.
void check_same_step(const StepResult& actual, const StepResult& expected);

}  // namespace moe::test
