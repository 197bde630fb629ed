// Experts choose tokens instead of tokens choosing experts (Zhou et al., 2022).
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// probabilities (tokens, experts) -> in every group each expert takes the tokens with the largest probabilities, as
// many as it has places. Ties go to the earlier token, NaN comes last; no expert takes padding. indices (tokens,
// experts) i32: slot e holds e if expert e took the token, else -1; weights (tokens, experts): the probabilities of
// those slots, else 0
void expert_choice(Context& ctx, Tensor indices, Tensor weights, ConstTensor probabilities, const TokenGroups& groups,
                   const GroupRoom& room);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::expert_choice) expert_choice;
}  // namespace cuda

}  // namespace moe
