// Experts by a fixed hash of the token id (Roller et al., 2021).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// ids (tokens) i32 -> indices (tokens, k) i32: the k of `experts` for which a random number, a function of key, id and
// expert, is largest; so an id's experts are distinct and every expert gets about as many ids
void hash_choice(Context& ctx, Tensor indices, ConstTensor ids, int64_t experts, const RandomKey& key);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::hash_choice) hash_choice;
}  // namespace cuda

}  // namespace moe
