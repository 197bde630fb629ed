#include "core/ops/hash_choice.h"

#include <algorithm>

#include "core/ops/dispatch.h"

namespace moe {

void hash_choice(Context& ctx, Tensor indices, ConstTensor ids, int64_t experts, const RandomKey& key) {
  const int64_t tokens = ids.size(), k = indices.dim(1);
  MOE_CHECK_SHAPE(indices, {tokens, k});
  MOE_CHECK(k >= 1 && k <= experts, "cannot choose {} of {} experts", k, experts);
  if (on_cuda(ctx)) return cuda::hash_choice(ctx, indices, ids, experts, key);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t* id = ids.as<int32_t>();
    // clang 16 does not capture variables that are only used by a lambda inside a parallel loop.
    const RandomKey& draws = key;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      int32_t* chosen = indices.as<int32_t>() + t * k;
      const auto number = [&](int64_t e) { return draws.words(static_cast<uint64_t>(id[t] * experts + e))[0]; };
      int64_t count = 0;
      for (int64_t e = 0; e < experts; ++e) {  // kept sorted, as in top-k
        const uint32_t mine = number(e);
        if (count == k && mine <= number(chosen[k - 1])) continue;
        int64_t at = count < k ? count++ : k - 1;
        for (; at > 0 && mine > number(chosen[at - 1]); --at) chosen[at] = chosen[at - 1];
        chosen[at] = static_cast<int32_t>(e);
      }
    }
  });
}

}  // namespace moe
