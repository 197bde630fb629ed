// Scopes for activations that backward computes again (model.recompute). A forward pass in a TransientScope keeps only
// what it allocates in a KeepScope: what cannot or shall not be computed again, above all the routers' choices.
// Backward then runs the same code once more in a ReplayScope, which uses what was kept.
#pragma once
#include <utility>

#include "core/tensor/context.h"

namespace moe {

// At its end, frees the activations that were allocated in it, except those of KeepScopes. Does nothing if not
// `active`.
class TransientScope {
 public:
  explicit TransientScope(Context& ctx, bool active = true)
      : ctx_(ctx),
        active_(active),
        before_(std::exchange(ctx.transient, ctx.transient || active)),
        mark_(ctx.activations->mark()) {}
  ~TransientScope() {
    if (!active_) return;
    ctx_.activations->rewind(mark_);
    ctx_.transient = before_;
  }
  TransientScope(const TransientScope&) = delete;
  TransientScope& operator=(const TransientScope&) = delete;

 private:
  Context& ctx_;
  bool active_, before_;
  size_t mark_;
};

// Activations allocated in it live until the micro-batch's end, as they do outside of any TransientScope.
class KeepScope {
 public:
  explicit KeepScope(Context& ctx, bool active = true)
      : ctx_(ctx), before_(std::exchange(ctx.keeps, ctx.keeps || (active && ctx.transient))) {}
  ~KeepScope() { ctx_.keeps = before_; }
  KeepScope(const KeepScope&) = delete;
  KeepScope& operator=(const KeepScope&) = delete;

 private:
  Context& ctx_;
  bool before_;
};

// A forward pass that is run again for backward: modules take the choices of the first pass, and nothing is observed.
class ReplayScope {
 public:
  explicit ReplayScope(Context& ctx)
      : ctx_(ctx),
        modes_(ctx, {.training = ctx.training, .observe = false}),
        signals_(std::exchange(ctx.signals, nullptr)) {
    ctx_.replays = true;
  }
  ~ReplayScope() { ctx_.replays = false, ctx_.signals = signals_; }
  ReplayScope(const ReplayScope&) = delete;
  ReplayScope& operator=(const ReplayScope&) = delete;

 private:
  Context& ctx_;
  ModeScope modes_;
  RoutingSignals* signals_;
};

}  // namespace moe
