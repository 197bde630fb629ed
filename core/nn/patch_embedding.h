// Hidden states from patches of images or spectrograms: a linear map of each patch's values, preceded by a class token
// if there is one (Dosovitskiy et al., "An image is worth 16x16 words", 2021).
#pragma once
#include <string>

#include "core/nn/input_embedding.h"

namespace moe {

class PatchEmbedding : public InputEmbedding {
 public:
  // `features`: number of values of a patch. `name`: of the weight, without ".weight".
  PatchEmbedding(ParameterStore& parameters, int64_t features, int64_t d_model, bool class_token, double init_std,
                 const std::string& name = "patch_embedding");
  // Reads batch.features (patches, features). With a class token a sequence has one token more than patches.
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
