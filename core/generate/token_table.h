// The scores of a text's tokens as tab-separated values.
#pragma once
#include <span>
#include <string>

#include "core/generate/chosen_experts.h"
#include "core/generate/token_scores.h"
#include "data/tokenizer.h"

namespace moe {

// A line with the columns' names, and a line for each token: its index, id and text (with \n, \t, \\ and \xNN for
// what would break the table), nats, entropy and rank of its prediction (empty for the first token), and its experts in
// each layer with a mixture, best first: "3,1". `scores`: of all tokens but the first; `experts` may be null.
std::string token_table(std::span<const int32_t> tokens, std::span<const TokenScore> scores, const Tokenizer& tokenizer,
                        const ChosenExperts* experts);

}  // namespace moe
