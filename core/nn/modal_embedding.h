// Hidden states of samples with a sequence of each of several modalities: each modality has its own embedding.
#pragma once
#include <memory>
#include <vector>

#include "core/nn/input_embedding.h"

namespace moe {

class ModalEmbedding : public InputEmbedding {
 public:
  struct Modality {
    std::unique_ptr<InputEmbedding> embedding;
    int64_t patches = 0;   // of each of its sequences; 0: it reads token ids, as many as a sequence has places
    int64_t features = 0;  // values of a patch
  };
  // `rows`: how the batches hold the features.
  ModalEmbedding(std::vector<Modality> modalities, const FeatureRows& rows)
      : modalities_(std::move(modalities)), rows_(rows) {}
  // Places after a modality's tokens are 0.
  Tensor forward(Context& ctx, const TokenBatch& batch) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) override;

 private:
  // The modality's sequences as a batch of their own.
  TokenBatch part(Context& ctx, const TokenBatch& batch, size_t modality) const;

  std::vector<Modality> modalities_;
  FeatureRows rows_;
  std::vector<TokenBatch> saved_;  // parts
};

}  // namespace moe
