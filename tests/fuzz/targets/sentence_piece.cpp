// SentencePiece's model files, and a text to encode.
#include "data/tokenizers/sentence_piece.h"
#include "core/base/base64.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const SentencePieceTokenizer tokenizer{std::string(input)};
  const std::string_view text = "one two  three\nfour \xff";
  std::vector<int32_t> ids;
  TokenMeasures measures;
  int64_t bytes = tokenizer.encode(text, ids, measures);
  for (const int32_t length : measures.lengths) bytes += length;
  require(bytes == std::ssize(text), "the lengths add up to the text's");
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer.vocab_size(), "an id is of the vocabulary");
  tokenizer.decode(ids);
}

static std::vector<std::string> seeds() {
  const TrainingText text = [](const TextVisitor& visit) {
    for (int i = 0; i < 50; ++i) visit("one two three\nfour five six\n");
  };
  TokenizerOptions options;
  options.vocab_size = 290;
  return {from_base64(SentencePieceTokenizer::make(text, options)->to_json().at("model").get<std::string>())};
}

static const FuzzTarget target{"sentence_piece", read_input, seeds};

}  // namespace moe
