// Where and how ops run: the first argument of every op and module. No global state stands behind it.
#pragma once
#include <cstdint>

#include "core/base/philox.h"
#include "core/tensor/arena.h"

namespace moe {

namespace cuda {
class Queue;
}
struct RoutingSignals;
class DeviceSums;

struct Context {
  Device device = Device::cpu;
  cuda::Queue* queue = nullptr;  // with device == cuda: where kernels are launched; may be absent while planning
  DType dtype = DType::f32;      // of activations
  bool managed = false;  // with device == cuda: the host reaches all tensors, so that ops without a twin can run there
  bool* needs_host = nullptr;    // while planning: set by ops without a twin
  Arena* activations = nullptr;  // lives until the end of a micro-batch's backward
  Arena* scratch = nullptr;      // last in, first out, by ScratchScope

  bool training = true;  // dropout, noise and other training-only behaviour
  bool observe = true;   // routing statistics are collected (not when a micro-batch is passed a second time)
  const DeviceSums* sums = nullptr;   // with device == cuda: of the host's sums that need not be complete at once
  RoutingSignals* signals = nullptr;  // where MoE layers add what they tell of each token (core/ops/sample_signals.h)
  bool diagnose = false;              // evaluation only: strategies also compute what they merely report
  bool planning = false;              // allocate and check shapes, compute nothing
  double planned_imbalance = 1;       // planning only: rows that a rank receives over the mean of all ranks

  uint64_t seed = 0;
  uint64_t step = 0;
  int64_t first_token = 0;  // of this rank's micro-batch in the step's global batch: the element of random numbers
                            // is a token's global index, so no layout changes what is drawn

  Tensor allocate(Shape shape) { return activations->allocate(shape, dtype); }
  Tensor allocate(Shape shape, DType type) { return activations->allocate(shape, type); }
  // Of at least f32: statistics, routing, losses.
  Tensor allocate_wide(Shape shape) { return activations->allocate(shape, wide(dtype)); }
  RandomKey random(RandomPurpose purpose, uint32_t stream) const { return {seed, purpose, stream, step}; }
};

// What passes through a model are for, in one scope: sets the modes of a context, and puts back what they were.
class ModeScope {
 public:
  struct Modes {
    bool training = true;
    bool observe = true;
  };
  ModeScope(Context& ctx, Modes modes) : ctx_(ctx), before_{ctx.training, ctx.observe} { set(modes); }
  ~ModeScope() { set(before_); }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  void set(Modes modes) { ctx_.training = modes.training, ctx_.observe = modes.observe; }

  Context& ctx_;
  Modes before_;
};

// Temporary activations: what was allocated from the activations arena since is freed. For what backward computes anew.
class ActivationScope {
 public:
  explicit ActivationScope(Context& ctx) : arena_(*ctx.activations), mark_(arena_.mark()) {}
  ~ActivationScope() { arena_.rewind(mark_); }
  ActivationScope(const ActivationScope&) = delete;
  ActivationScope& operator=(const ActivationScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_;
};

// Temporary tensors of one function, freed when it returns.
class ScratchScope {
 public:
  explicit ScratchScope(Context& ctx) : ctx_(ctx), mark_(ctx.scratch->mark()) {}
  ~ScratchScope() { ctx_.scratch->rewind(mark_); }
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

  Tensor allocate(Shape shape) { return ctx_.scratch->allocate(shape, ctx_.dtype); }
  Tensor allocate(Shape shape, DType type) { return ctx_.scratch->allocate(shape, type); }
  Tensor allocate_wide(Shape shape) { return ctx_.scratch->allocate(shape, wide(ctx_.dtype)); }

 private:
  Context& ctx_;
  size_t mark_;
};

}  // namespace moe
