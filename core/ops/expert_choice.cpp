#include "core/ops/expert_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/ops/dispatch.h"

namespace moe {

void expert_choice(Context& ctx, Tensor indices, Tensor weights, ConstTensor probabilities, const TokenGroups& groups,
                   int64_t capacity) {
  const int64_t tokens = probabilities.dim(0), experts = probabilities.dim(1);
  MOE_CHECK_SHAPE(indices, {tokens, experts});
  MOE_CHECK_SHAPE(weights, {tokens, experts});
  MOE_CHECK(groups.count * groups.size == tokens, "{} groups of {} for {} tokens", groups.count, groups.size, tokens);
  MOE_CHECK(tokens == 0 || (capacity >= 1 && capacity <= groups.size), "an expert takes {} of {} tokens", capacity,
            groups.size);
  if (on_cuda(ctx)) return cuda::expert_choice(ctx, indices, weights, probabilities, groups, capacity);
  run(ctx, probabilities.dtype, [&]<class T>(T) {
    const T* p = probabilities.as<T>();
    T* w = weights.as<T>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t job = 0; job < groups.count * experts; ++job) {
      thread_local std::vector<int64_t> order;  // places in the group
      const int64_t g = job / experts, e = job % experts;
      const auto at = [&](int64_t place) { return (g * groups.first + place * groups.step) * experts + e; };
      const auto better = [&](int64_t a, int64_t b) {
        const T left = p[at(a)], right = p[at(b)];
        if (std::isnan(left) || std::isnan(right))
          return std::isnan(left) == std::isnan(right) ? a < b : !std::isnan(left);
        return left != right ? left > right : a < b;
      };
      order.resize(static_cast<size_t>(groups.size));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::nth_element(order.begin(), order.begin() + (capacity - 1), order.end(), better);
      for (int64_t j = 0; j < groups.size; ++j) {
        const int64_t slot = at(order[static_cast<size_t>(j)]);
        index[slot] = j < capacity ? static_cast<int32_t>(e) : -1;
        w[slot] = j < capacity ? p[slot] : T(0);
      }
    }
  });
}

}  // namespace moe
