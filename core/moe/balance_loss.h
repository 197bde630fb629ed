// BalanceLoss: an auxiliary loss on one layer's routing. Every member is a function of sums over tokens, so its value
// for the whole step's batch does not depend on how that was split into ranks and micro-batches. Members are in
// balance/, the table in balance_loss.cpp.
#pragma once
#include <span>

#include "core/config/moe_config.h"
#include "core/moe/routing.h"
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

// Fields shared by all members.
struct BalanceOptions {
  ScheduleField coefficient{0.01, {0, 1e6}};
  std::string scope = "global", modality = "all";

  void common_fields(FieldVisitor& v);
};

class BalanceLoss {
 public:
  struct Setup {
    int64_t experts = 0;
    int64_t d_model = 0;
    std::string router{};  // the router's kind; empty when unknown
    RunLength run{};
    int64_t modalities = 1;  // of the batches
  };
  // Gradients of a routing. backward() adds to each of them.
  struct Gradients {
    Tensor logits;     // (tokens, experts)
    Tensor weights{};  // (tokens, k); absent where the strategy has none: a loss that needs it throws UsageError
  };
  enum class Scope { global, sequence, rank };

  BalanceLoss(const BalanceOptions& options, const Setup& setup);
  virtual ~BalanceLoss() = default;

  const Scheduled& coefficient() const { return coefficient_; }
  Scope scope() const { return scope_; }
  // The modality whose tokens alone the loss is computed from; -1: all.
  int64_t modality() const { return modality_; }

  // Number of sums over tokens that the value is computed from.
  virtual int64_t num_sums() const = 0;
  // Adds this routing's tokens to the sums. targets (tokens) i32 mark padding.
  virtual void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const = 0;
  // The loss without its coefficient; 0 if there are no tokens.
  virtual double value(std::span<const double> sums) const = 0;
  // Adds factor times the gradient of this routing's tokens, which must be included in the sums.
  virtual void backward(Context& ctx, const Gradients& gradients, const Routing& routing, ConstTensor targets,
                        std::span<const double> sums, double factor) const = 0;

  // A loss on the experts' outputs returns true and implements the two functions below instead of add_sums() and
  // backward(). d_rows is the gradient of outputs.rows and is added to.
  virtual bool sees_outputs() const { return false; }
  virtual void add_output_sums(Context& ctx, std::span<double> sums, const Routing& routing,
                               const ExpertOutputs& outputs, ConstTensor targets) const;
  virtual void output_backward(Context& ctx, Tensor d_rows, const Routing& routing, const ExpertOutputs& outputs,
                               ConstTensor targets, std::span<const double> sums, double factor) const;

 private:
  Scheduled coefficient_;
  Scope scope_;
  int64_t modality_;
};

}  // namespace moe
