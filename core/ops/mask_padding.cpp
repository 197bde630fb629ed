#include "core/ops/mask_padding.h"

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void mask_padding(Context& ctx, Tensor ids, ConstTensor targets) {
  MOE_CHECK(ids.size() == targets.size(), "{} ids, {} targets", ids.size(), targets.size());
  MOE_CHECK_DTYPE(ids, DType::i32);
  if (on_cuda(ctx)) return cuda::mask_padding(ctx, ids, targets);
  run(ctx, DType::f32, [&]<class T>(T) {
    int32_t* id = ids.as<int32_t>();
    const int32_t* target = targets.as<int32_t>();
    for (int64_t t = 0; t < ids.size(); ++t) {
      if (target[t] == kIgnoreTarget) id[t] = kIgnoreTarget;
    }
  });
}

}  // namespace moe
