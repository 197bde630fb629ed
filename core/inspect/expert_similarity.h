// How alike the outputs of a layer's experts are on the same tokens: linear centred kernel alignment (Kornblith et al.,
// 2019, arXiv 1905.00414).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/inspect/specialisation.h"
#include "core/reload/load_run.h"

namespace moe {

struct ExpertSimilarity {
  ChanceFigure mean;  // over pairs of experts; chance: with the tokens of one of the two permuted
  // (experts, experts): |A^T B|^2 / (|A^T A| |B^T B|) in Frobenius norms, A and B being the experts' outputs (tokens,
  // width) minus their means over the tokens; NaN with an expert whose outputs are constant.
  std::vector<std::vector<double>> pairs;
};
// outputs (experts, tokens, width)
ExpertSimilarity expert_similarity(std::span<const float> outputs, int64_t experts, int64_t tokens);

// At most so many tokens: the kernels are matrices over pairs of tokens.
inline constexpr int64_t kSimilarityTokens = 128;
// By MoE layer, on the first tokens of a split; an entry without pairs where the memory of an evaluation holds too few
// tokens for all experts. Collective; all ranks get the result.
std::vector<ExpertSimilarity> expert_similarities(LoadedRun& run, const Task& task, const std::string& split,
                                                  int64_t sequences);

}  // namespace moe
