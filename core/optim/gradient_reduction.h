// Sums the gradients over the ranks, while backward still computes others.
#pragma once
#include <functional>
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
    // Called once for every block before its buckets are started: completes the gradients of blocks [begin, end), in
    // which other ranks may have a part.
    std::function<void(Context&, int64_t begin, int64_t end)> complete{};
  };
  // `sharded`: the plan of an optimizer whose state is divided among ranks; otherwise empty.
  GradientReduction(ParameterStore& parameters, const ProcessGroups& groups, const Options& options,
                    const std::vector<GradientBucket>& sharded = {});

  // Where the sums are needed: everywhere, or only where a divided optimizer updates the parameters.
  enum class Sums { everywhere, own_parts };
  // Called before the last backward pass of a step, which then starts what it completes: makes this the context's
  // observer.
  void begin(Context& ctx, Sums sums);
  // Starts the rest and waits for all. Clears gradients that are marked old.
  void finish(Context& ctx);

  void before_blocks(Context& ctx) override { start(ctx, GradientBucket::kBeforeBlocks); }
  void block_complete(Context& ctx, int64_t block) override { start(ctx, block); }

  // The 2-norm of the whole gradient, after finish(). Collective; the same on every rank, and on the CPU the same bits
  // wherever the sums are.
  double norm(Context& ctx);

  const std::vector<GradientBucket>& plan() const { return plan_; }
  // The number of buckets that were started before finish() in the last step.
  size_t started_early() const { return started_early_; }

 private:
  // Starts the buckets that are complete at this place or were before.
  void start(Context& ctx, int64_t place);
  // The squares of a group's gradient that lie in the parts of this rank, added over the ranks.
  double squares_of_parts(Context& ctx, ParameterGroup group);

  ParameterStore& parameters_;
  const ProcessGroups& groups_;
  const Options options_;
  const std::vector<GradientBucket> plan_;  // empty for a single rank
  std::vector<Pending> pending_;            // of the first buckets of the plan
  size_t started_early_ = 0;
  int64_t completed_ = GradientBucket::kBeforeBlocks;  // the first block that is complete
  Sums sums_ = Sums::everywhere;
  std::vector<double> squares_;  // of a group's blocks
};

}  // namespace moe
