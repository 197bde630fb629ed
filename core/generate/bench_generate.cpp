#include "core/generate/bench_generate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/base/statistics.h"
#include "core/generate/model_reader.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Round {
  double prompt_ms = 0, token_ms = 0;
};

class Bench {
 public:
  Bench(TrainingState& state, int64_t context, const GenerateBenchOptions& options)
      : options_(options),
        vocab_(state.model->vocab()),
        reader_(state, {.rows = options.texts, .context = context, .chunk = context, .cache = options.cache}),
        texts_(static_cast<size_t>(options.texts)) {}

  Round measure() {
    const RandomKey key{.seed = 1, .purpose = RandomPurpose::test};
    for (size_t t = 0; t < texts_.size(); ++t) {
      texts_[t].clear();
      for (int64_t i = 0; i < options_.prompt; ++i)
        texts_[t].push_back(
            static_cast<int32_t>(key.bits(t * static_cast<uint64_t>(options_.prompt) + static_cast<uint64_t>(i)) %
                                 static_cast<uint64_t>(vocab_)));
    }
    const Clock::time_point begin = Clock::now();
    read(0);
    const Clock::time_point middle = Clock::now();
    for (int64_t i = 0; i < options_.tokens; ++i) read(options_.prompt + i);
    return {milliseconds(middle - begin), milliseconds(Clock::now() - middle) / static_cast<double>(options_.tokens)};
  }

 private:
  // Reads what is new in each text and appends the most likely token.
  void read(int64_t known) {
    std::vector<ModelReader::Unread> unread;
    for (size_t t = 0; t < texts_.size(); ++t)
      unread.push_back({.row = static_cast<int64_t>(t), .tokens = texts_[t], .known = known});
    const std::span<const float> logits = reader_.read(unread);
    for (size_t t = 0; t < texts_.size(); ++t) {
      const auto own = logits.subspan(t * static_cast<size_t>(reader_.logits_width()), static_cast<size_t>(vocab_));
      texts_[t].push_back(static_cast<int32_t>(std::max_element(own.begin(), own.end()) - own.begin()));
    }
  }

  const GenerateBenchOptions options_;
  const int64_t vocab_;
  ModelReader reader_;
  std::vector<std::vector<int32_t>> texts_;
};

}  // namespace

std::string bench_generate(TrainingState& state, int64_t context, const GenerateBenchOptions& options, int threads) {
  if (options.prompt + options.tokens > context) {
    raise<UsageError>("a prompt of {} tokens and {} more do not fit in the context of {}", options.prompt,
                      options.tokens, context);
  }
  Bench bench(state, context, options);
  bench.measure();
  std::vector<double> prompt, token;
  for (int64_t i = 0; i < options.rounds; ++i) {
    const Round round = bench.measure();
    prompt.push_back(round.prompt_ms);
    token.push_back(round.token_ms);
  }
  const auto texts = static_cast<double>(options.texts);
  return json_text({{"who", "moe-train"},
                    {"threads", threads},
                    {"texts", options.texts},
                    {"prompt", options.prompt},
                    {"prompt_ms", median(prompt)},
                    {"token_ms", median(token)},
                    {"prompt_tokens_per_s", 1e3 * texts * static_cast<double>(options.prompt) / median(prompt)},
                    {"tokens_per_s", 1e3 * texts / median(token)}});
}

}  // namespace moe
