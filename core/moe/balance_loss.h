// BalanceLoss: an auxiliary loss on one layer's routing. Every member is a function of sums over tokens, so that it can
// be computed from the whole step's batch, whatever ranks and micro-batches it was split into. Members are in balance/,
// the table in balance_loss.cpp.
#pragma once
#include <span>

#include "core/config/moe_config.h"
#include "core/moe/routing.h"
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

// Fields that every member has.
struct BalanceOptions {
  ScheduleField coefficient{0.01, {0, 1e6}};
  std::string scope = "global";

  void common_fields(FieldVisitor& v) {
    v.schedule("coefficient", coefficient, "Weight in the training objective, per layer.");
    v.field("scope", scope,
            "tokens that are balanced together: the step's whole batch, each sequence, or each rank's micro-batch",
            {"global", "sequence", "rank"});
  }
};

class BalanceLoss {
 public:
  struct Setup {
    int64_t experts = 0;
    int64_t d_model = 0;
    std::string router{};  // its kind; empty when unknown
    RunLength run{};
  };
  // Where the gradients of a routing go; each is added to.
  struct Gradients {
    Tensor logits;     // (tokens, experts)
    Tensor weights{};  // (tokens, k); a loss that needs it refuses to do without
  };
  enum class Scope { global, sequence, rank };

  BalanceLoss(const BalanceOptions& options, const Setup& setup);
  virtual ~BalanceLoss() = default;

  const Scheduled& coefficient() const { return coefficient_; }
  Scope scope() const { return scope_; }

  // How many sums over tokens the value is a function of.
  virtual int64_t num_sums() const = 0;
  // Adds this routing's tokens; targets (tokens) i32 tell padding.
  virtual void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const = 0;
  // The loss, without its coefficient; 0 for no tokens.
  virtual double value(std::span<const double> sums) const = 0;
  // Adds factor times the gradient of this routing's tokens, which are among those of the sums.
  virtual void backward(Context& ctx, const Gradients& gradients, const Routing& routing, ConstTensor targets,
                        std::span<const double> sums, double factor) const = 0;

  // A loss on the experts' outputs: these take the place of add_sums() and backward(). d_rows: gradient of
  // outputs.rows, added to.
  virtual bool sees_outputs() const { return false; }
  virtual void add_output_sums(Context& ctx, std::span<double> sums, const Routing& routing,
                               const ExpertOutputs& outputs, ConstTensor targets) const;
  virtual void output_backward(Context& ctx, Tensor d_rows, const Routing& routing, const ExpertOutputs& outputs,
                               ConstTensor targets, std::span<const double> sums, double factor) const;

 private:
  Scheduled coefficient_;
  Scope scope_;
};

}  // namespace moe
