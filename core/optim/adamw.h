// AdamW over the two parameter buffers (Loshchilov and Hutter, 2019).
#pragma once
#include <array>

#include "core/optim/parameter_classes.h"

namespace moe {

class AdamW {
 public:
  // Starts from the parameters' present values.
  AdamW(Context& ctx, ParameterStore& parameters, const OptimizerConfig& config);

  // Uses the gradients times `gradient_scale`, and sets them to zero or marks them as old. Every parameter has its
  // class's share of learning rate and weight decay. `update` is counted from 1.
  void step(Context& ctx, double learning_rate, double weight_decay, double gradient_scale, int64_t update);

  // Laid out like the group's buffer; checkpoints store them by the parameters' names.
  Tensor first_moment(ParameterGroup group) const { return moments_[static_cast<size_t>(group)].first; }
  Tensor second_moment(ParameterGroup group) const { return moments_[static_cast<size_t>(group)].second; }
  // The f32 values that bf16 parameters are rounded from, laid out likewise; absent when parameters are f32 or f64.
  Tensor master(ParameterGroup group) const { return moments_[static_cast<size_t>(group)].master; }
  size_t bytes() const;

 private:
  struct Moments {
    Tensor first, second, master;
  };
  ParameterStore& parameters_;
  OptimizerConfig config_;
  std::unique_ptr<Arena> arena_;
  std::array<Moments, 2> moments_;
  std::array<std::vector<ParameterRange>, 2> ranges_;
};

}  // namespace moe
