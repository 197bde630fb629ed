// Ops on batches whose samples have one sequence of each of several modalities: sequence s is of modality
// s % modalities. Sequences have `time` tokens.
#pragma once
#include "core/base/host_device.h"
#include "core/tensor/context.h"

namespace moe {

struct ModalityLayout {
  int64_t modality = 0, modalities = 1;
  int64_t time = 0;

  MOE_HOST_DEVICE bool has(int64_t token) const { return token / time % modalities == modality; }
  // The token (of all sequences) at place `place` of this modality's sequence of a sample.
  MOE_HOST_DEVICE int64_t token(int64_t sample, int64_t place) const {
    return (sample * modalities + modality) * time + place;
  }
};

// targets (tokens) i32 -> masked (tokens) i32: the targets of the modality's tokens; kIgnoreTarget for the others
void modality_targets(Context& ctx, Tensor masked, ConstTensor targets, const ModalityLayout& layout);
// y (tokens, modalities): 1 in the column of the token's modality, 0 elsewhere. Ignores layout.modality.
void modality_one_hot(Context& ctx, Tensor y, const ModalityLayout& layout);
// x (tokens, d) -> y (samples * count, d): the first `count` tokens of each of the modality's sequences. Also for
// i32, with d = 1.
void take_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout);
// x (samples * count, d) -> y (tokens, d): the same in the other direction. Overwrites all tokens of the modality's
// sequences, with 0 after the first `count`; leaves other modalities as they are.
void put_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::modality_targets) modality_targets;
decltype(moe::modality_one_hot) modality_one_hot;
decltype(moe::take_modality) take_modality;
decltype(moe::put_modality) put_modality;
}  // namespace cuda

}  // namespace moe
