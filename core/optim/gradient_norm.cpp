#include "core/optim/gradient_norm.h"

#include <cmath>

#include "core/ops/elementwise.h"

namespace moe {

double gradient_norm(Context& ctx, ParameterStore& parameters, const ProcessGroups& groups) {
  double experts = sum_of_squares(ctx, parameters.buffer(ParameterGroup::expert).gradient);
  groups.expert->all_reduce_sum(as_tensor(std::span(&experts, 1)));
  return std::sqrt(experts + sum_of_squares(ctx, parameters.buffer(ParameterGroup::shared).gradient));
}

double clip_scale(double norm, double clip_norm) {
  return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
}

}  // namespace moe
