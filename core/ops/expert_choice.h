// Experts choose tokens, instead of tokens experts (Zhou et al., 2022).
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// probabilities (tokens, experts) -> in every group each expert takes as many tokens of largest probability as there is
// room for, ties to the earlier token, NaN last; no expert takes padding. indices (tokens, experts) i32: slot e holds
// expert e where it took the token, else -1; weights (tokens, experts): the probabilities of those slots, else 0
void expert_choice(Context& ctx, Tensor indices, Tensor weights, ConstTensor probabilities, const TokenGroups& groups,
                   const GroupRoom& room);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::expert_choice) expert_choice;
}  // namespace cuda

}  // namespace moe
