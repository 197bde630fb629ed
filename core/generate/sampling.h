// Draws a token from a model's logits.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace moe {

// What is changed in the distribution before a token is drawn, in the order of these fields (as in transformers).
struct SamplingOptions {
  // The logits of tokens that are in the text already are divided by it if positive and multiplied otherwise (Keskar et
  // al., 2019, arXiv 1909.05858); 1: unchanged.
  double repetition_penalty = 1;
  double temperature = 0.8;  // logits are divided by it; 0: the most likely token, the smallest id among equals
  int64_t top_k = 0;         // only the k most likely tokens; 0: all
  // Only the most likely tokens that together have this probability, at least one (Holtzman et al., 2020); 1: all.
  double top_p = 1;
  double min_p = 0;  // only tokens with at least this share of the most likely one's probability
};

class TokenSampler {
 public:
  // Draws one of the first `vocab` ids. `logits` has at least that many; `text`: the ids that repetition_penalty is
  // about; uniform in [0, 1). The result depends on nothing else.
  int32_t draw(std::span<const float> logits, int64_t vocab, const SamplingOptions& options,
               std::span<const int32_t> text, double uniform);

 private:
  struct Candidate {
    double weight;  // relative to the most likely token
    int32_t id;
  };
  // Reduces the candidates to those that top_k and top_p allow, most likely first.
  void keep_likely(const SamplingOptions& options);

  std::vector<float> changed_;
  std::vector<Candidate> candidates_;
};

}  // namespace moe
