// The experts of the tokens of a text, for the web page: the text coloured by expert, or by how surprising a token was.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/inspect/trace_report.h"
#include "core/step/training_state.h"

namespace moe {

struct TokenView {
  struct Block {
    int64_t block = 0, experts = 0, slots = 0;
    std::vector<int32_t> chosen;  // (tokens, slots): by the router's order; -1 for an empty slot
  };
  std::vector<std::string> texts;  // of the tokens; its id for one without
  std::vector<Block> blocks;
  std::vector<double> nats{};  // -ln p of each token, NaN for one that was not predicted; empty: not computed
  size_t given = 0;            // leading tokens that the model did not write; 0 where it wrote none
};

// At most this many tokens.
constexpr int64_t kViewedTokens = 480;

// The first tokens of a trace. Empty for a task without token ids.
TokenView view_tokens(const StepTrace& trace, const TokenText& text);

// The first tokens, which the model is asked for nats and experts of, and a text that it writes: 64 of the tokens as
// the prompt, continued with up to 200 tokens drawn at temperature 0.8. For models of texts; collective.
struct TextViews {
  TokenView read, written;
};
TextViews view_texts(TrainingState& state, std::span<const int32_t> tokens, int64_t context, const TokenText& text);

// A slider over the blocks, and over the nats behind them, and the text; each token's experts and nats appear on hover,
// and all of them in a table. Without script the first block is shown. Empty without tokens. `name`: a word that no
// other view of the page has.
std::string token_view_markup(const TokenView& view, const std::string& name = "tokens");

}  // namespace moe
