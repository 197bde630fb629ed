#include "core/ops/expert_choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/ops/dispatch.h"

namespace moe {

void expert_choice(Context& ctx, Tensor indices, Tensor weights, ConstTensor probabilities, const TokenGroups& groups,
                   const GroupRoom& room) {
  const int64_t tokens = probabilities.dim(0), experts = probabilities.dim(1);
  MOE_CHECK_SHAPE(indices, {tokens, experts});
  MOE_CHECK_SHAPE(weights, {tokens, experts});
  MOE_CHECK(groups.count * groups.size == tokens, "{} groups of {} tokens do not cover {} tokens", groups.count,
            groups.size, tokens);
  MOE_CHECK(tokens == 0 || (room.of(groups.size) >= 1 && room.of(groups.size) <= groups.size),
            "an expert would take {} tokens of a group of {}", room.of(groups.size), groups.size);
  if (on_cuda(ctx)) return cuda::expert_choice(ctx, indices, weights, probabilities, groups, room);
  run(ctx, probabilities.dtype, [&]<class T>(T) {
    const T* p = probabilities.as<T>();
    T* w = weights.as<T>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t job = 0; job < groups.count * experts; ++job) {
      thread_local std::vector<int64_t> order;  // indices within the group
      const int64_t g = job / experts, e = job % experts;
      const auto at = [&](int64_t place) { return groups.token(g, place) * experts + e; };
      const auto better = [&](int64_t a, int64_t b) {
        const T left = p[at(a)], right = p[at(b)];
        if (std::isnan(left) || std::isnan(right))
          return std::isnan(left) == std::isnan(right) ? a < b : !std::isnan(left);
        return left != right ? left > right : a < b;
      };
      order.clear();
      for (int64_t place = 0; place < groups.size; ++place) {
        index[at(place)] = -1;
        w[at(place)] = 0;
        if (groups.counts(groups.token(g, place))) order.push_back(place);
      }
      if (order.empty()) continue;
      const auto taken = order.begin() + room.of(std::ssize(order));
      std::nth_element(order.begin(), taken - 1, order.end(), better);
      for (auto place = order.begin(); place != taken; ++place) {
        index[at(*place)] = static_cast<int32_t>(e);
        w[at(*place)] = p[at(*place)];
      }
    }
  });
}

}  // namespace moe
