// Sums the gradients over the ranks, while backward still computes others.
#pragma once
#include <vector>

#include "core/nn/gradient_observer.h"
#include "core/optim/reduction_plan.h"

namespace moe {

class GradientReduction : public GradientObserver {
 public:
  struct Options {
    int64_t bucket;        // elements, see plan_reduction
    DType wire;            // of what is sent: f32 or bf16
    bool during_backward;  // otherwise nothing is sent before finish()
  };
  GradientReduction(ParameterStore& parameters, const ProcessGroups& groups, const Options& options);

  // Called before the last backward pass of a step, which then starts what it completes: makes this the context's
  // observer.
  void begin(Context& ctx);
  // Starts the rest and waits for all. Clears gradients that are marked old.
  void finish(Context& ctx);

  void before_blocks(Context& ctx) override { start(ctx, GradientBucket::kBeforeBlocks); }
  void block_complete(Context& ctx, int64_t block) override { start(ctx, block); }

  const std::vector<GradientBucket>& plan() const { return plan_; }
  // The number of buckets that were started before finish() in the last step.
  size_t started_early() const { return started_early_; }

 private:
  // Starts the buckets that are complete at this place or were before.
  void start(Context& ctx, int64_t place);

  ParameterStore& parameters_;
  const ProcessGroups& groups_;
  const Options options_;
  const std::vector<GradientBucket> plan_;  // empty for a single rank
  std::vector<Pending> pending_;            // of the first buckets of the plan
  size_t started_early_ = 0;
};

}  // namespace moe
