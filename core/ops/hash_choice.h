// Chooses experts by a fixed hash of the token id (Roller et al., 2021).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// ids (tokens) i32 -> indices (tokens, k) i32: the k experts with the largest random number, which is a function of
// key, id and expert. So an id's experts are distinct, and all experts get about the same number of ids
void hash_choice(Context& ctx, Tensor indices, ConstTensor ids, int64_t experts, const RandomKey& key);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::hash_choice) hash_choice;
}  // namespace cuda

}  // namespace moe
