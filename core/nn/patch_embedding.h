// Hidden states from patches of images: a linear map of a patch's numbers, after a class token where there is one
// (Dosovitskiy et al., "An image is worth 16x16 words", 2021).
#pragma once
#include "core/nn/input_embedding.h"

namespace moe {

class PatchEmbedding : public InputEmbedding {
 public:
  // `features`: numbers of a patch.
  PatchEmbedding(ParameterStore& parameters, int64_t features, int64_t d_model, bool class_token, double init_std);
  // batch.features (patches, features); a class token is one token more than a sequence has patches.
  Tensor forward(Context& ctx, const TokenBatch& batch) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) override;

 private:
  Parameter& weight_;                 // (d_model, features)
  Parameter* class_token_ = nullptr;  // (d_model)
  struct {
    ConstTensor patches;  // (patches, features)
  } saved_;
};

}  // namespace moe
