// Where and how ops run: the first argument of every op and module. There is no global state besides it.
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
class PackedWeights;
class ComputeParts;
class GradientObserver;
class TrafficRecorder;

struct Context {
  Device device = Device::cpu;
  cuda::Queue* queue = nullptr;  // with device == cuda: the queue for kernel launches; may be null while planning
  DType dtype = DType::f32;      // dtype of activations
  // With device == cpu: the products of the model's layers, experts and head. Routers' products are always full.
  Products products = Products::full;
  // With device == cuda: the host can access all tensors, so that ops without a CUDA implementation can run there.
  bool managed = false;
  bool* needs_host = nullptr;               // while planning: set by ops without a CUDA implementation
  Arena* activations = nullptr;             // valid until the end of a micro-batch's backward
  Arena* scratch = nullptr;                 // last in, first out, by ScratchScope
  PackedWeights* packed_weights = nullptr;  // for products in bf16 (core/ops/packed_weights.h)

  bool training = true;               // dropout, noise and other training-only behaviour
  bool observe = true;                // collect routing statistics (off when a micro-batch is passed a second time)
  const DeviceSums* sums = nullptr;   // with device == cuda: device counterparts of host sums that are collected later
  RoutingSignals* signals = nullptr;  // if set, MoE layers add their signals per token (core/ops/sample_signals.h)
  GradientObserver* gradients = nullptr;  // if set, called when gradients are complete
  TrafficRecorder* traffic = nullptr;     // if set, what the ranks send is recorded by kind and layer (comm/traffic.h)
  ComputeParts* compute = nullptr;        // if set, the time of the model's parts is measured or stood in for
  bool diagnose = false;                  // evaluation only: strategies also compute figures that are only reported
  bool transient = false;                 // activations are freed before backward (TransientScope)
  bool keeps = false;                     // but those allocated now live until it (KeepScope)
  bool replays = false;                   // a forward pass is run again, with the choices of the first (ReplayScope)
  bool planning = false;                  // allocate and check shapes without computing
  double planned_imbalance = 1;           // planning only: rows that a rank receives, relative to the mean over ranks

  uint64_t seed = 0;
  uint64_t step = 0;
  // Global index of the micro-batch's first token in the step. The RNG counter is a token's global index, so random
  // numbers do not depend on the layout.
  int64_t first_token = 0;

  Tensor allocate(Shape shape) { return allocate(shape, dtype); }
  Tensor allocate(Shape shape, DType type) {
    return keeps ? activations->allocate_upper(shape, type) : activations->allocate(shape, type);
  }
  // At least f32, for statistics, routing and losses.
  Tensor allocate_wide(Shape shape) { return allocate(shape, wide(dtype)); }
  RandomKey random(RandomPurpose purpose, uint32_t stream) const { return {seed, purpose, stream, step}; }
};

// Sets the modes of a context for one scope and restores the previous modes at its end.
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

// Temporary activations: at its end, frees everything that was allocated from the activations arena in the scope. For
// values that backward recomputes.
class ActivationScope {
 public:
  explicit ActivationScope(Context& ctx)
      : arena_(*ctx.activations), mark_(arena_.mark()), upper_mark_(arena_.upper_mark()) {}
  ~ActivationScope() { arena_.rewind(mark_), arena_.rewind_upper(upper_mark_); }
  ActivationScope(const ActivationScope&) = delete;
  ActivationScope& operator=(const ActivationScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_, upper_mark_;
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
