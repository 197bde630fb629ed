// The experts of the first tokens of an evaluated text, for the web page: the text coloured by expert.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/trace_report.h"

namespace moe {

struct TokenView {
  struct Block {
    int64_t block = 0, experts = 0, slots = 0;
    std::vector<int32_t> chosen;  // (tokens, slots): by the router's order; -1 for an empty slot
  };
  std::vector<std::string> texts;  // of the tokens; its id for one without
  std::vector<Block> blocks;
};

// At most this many tokens.
constexpr int64_t kViewedTokens = 480;

// The first tokens of a trace. Empty for a task without token ids.
TokenView view_tokens(const StepTrace& trace, const TokenText& text);

// A slider over the blocks and the text; each token's experts appear on hover, and all of them in a table. Without
// script the first block is shown. Empty without tokens.
std::string token_view_markup(const TokenView& view);

}  // namespace moe
