// One strategy up to some point of the run, another one after it. Both share the layer's router and experts; their
// other parameters are separate. Either may itself be a `change`.
#include <algorithm>
#include <cmath>

#include "core/moe/strategy.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  Choice<Strategy> first{"plain"};
  Choice<Strategy> then{"plain"};
  Duration at = Duration::percent(50);

  void fields(FieldVisitor& v) override {
    v.choice("first", first, "The strategy at the start of the run.");
    v.choice("then", then, "The strategy after the change.");
    v.field("at", at, "point of the run at which the second strategy replaces the first");
  }
};

class ChangeStrategy : public RoutedStrategy {
 public:
  ChangeStrategy(const Options& options, const Setup& setup)
      : RoutedStrategy(setup),
        at_(to_whole_updates(options.at, setup.run)),
        share_(setup.run.total_updates > 0
                   ? std::min(1.0, static_cast<double>(at_) / static_cast<double>(setup.run.total_updates))
                   : 0),
        first_(part(options.where("first"), options.first, setup, ".first")),
        then_(part(options.where("then"), options.then, setup, ".then")) {
    const StrategyTraits &first = first_->traits(), &then = then_->traits();
    traits_.k = std::max(first.k, then.k);
    traits_.final_k = (share_ < 1 ? then : first).final_k;
    traits_.training_passes = share_ * first.training_passes + (1 - share_) * then.training_passes;
    traits_.needs_outputs = first.needs_outputs || then.needs_outputs;
    traits_.training_causality = std::max(first.training_causality, then.training_causality);
  }

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    parts.balance.set_scale(1);  // resets a scale that the other strategy may have set
    if (!ctx.planning) return current(ctx).forward(ctx, parts, batch, x);
    // Plans memory for either: runs both forward, then again the one that keeps more activations.
    const auto in_use = [&] { return ctx.transient ? ctx.activations->upper_mark() : ctx.activations->used(); };
    const auto kept_by = [&](Strategy& strategy) {
      ActivationScope scope(ctx);
      LayerParts own = parts;
      const size_t before = in_use();
      strategy.forward(ctx, own, batch, x);
      return in_use() - before;
    };
    const size_t first = kept_by(*first_), then = kept_by(*then_);
    return (first > then ? *first_ : *then_).forward(ctx, parts, batch, x);
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    if (!ctx.planning) return current(ctx).backward(ctx, parts, batch, d_x, d_y);
    for (Strategy* strategy : {first_.get(), then_.get()}) {
      ActivationScope scope(ctx);
      LayerParts own = parts;  // either does the work meanwhile
      strategy->backward(ctx, own, batch, d_x, d_y);
    }
  }

  void after_step(Context& ctx, const LoadStats& load) override { current(ctx).after_step(ctx, load); }

 private:
  // The suffix makes the names of a part's parameters unique, so that two strategies of the same kind can follow each
  // other.
  std::unique_ptr<Strategy> part(const std::string& where, const Choice<Strategy>& choice, const Setup& setup,
                                 const char* suffix) const {
    Setup own = setup;
    own.router = shared_router();
    own.name += suffix;
    std::unique_ptr<Strategy> strategy = choice.make(own);
    if (&strategy->router() == own.router.get()) return strategy;
    raise<UsageError>(
        "{}: {} has its own routers, so it cannot share the layer's router with another strategy; use plain, compete, "
        "stochastic or contrastive",
        where, choice.kind());
  }
  Strategy& current(const Context& ctx) const { return ctx.step < static_cast<uint64_t>(at_) ? *first_ : *then_; }

  int64_t at_;
  double share_;  // fraction of the run in which the first strategy is used
  std::unique_ptr<Strategy> first_, then_;
};

}  // namespace

Member change_strategy() {
  return member<Strategy, ChangeStrategy, Options>("change", "one strategy up to some point of the run, then another");
}

}  // namespace moe
