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
    bool has_ids = false;  // it reads token ids, otherwise the batch's features
    int64_t tokens = 0;    // tokens of each of its sequences; 0: as many as a sequence has places
  };
  explicit ModalEmbedding(std::vector<Modality> modalities) : modalities_(std::move(modalities)) {}
  // Places after a modality's tokens are 0.
  Tensor forward(Context& ctx, const TokenBatch& batch) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) override;

 private:
  // The modality's sequences as a batch of their own.
  TokenBatch part(Context& ctx, const TokenBatch& batch, size_t modality) const;

  std::vector<Modality> modalities_;
  std::vector<TokenBatch> saved_;  // parts
};

}  // namespace moe
