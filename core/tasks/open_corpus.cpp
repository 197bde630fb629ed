#include "core/tasks/open_corpus.h"

namespace moe {

Corpus open_corpus(const DataConfig& config) {
  if (config.path != kSyntheticData)
    return Corpus::open(
        config.location(),
        {.vocab_size = config.vocab_size, .tokenizer = config.tokenizer_location(), .pattern = config.pattern});
  const SyntheticDataConfig& s = config.synthetic;
  return Corpus::synthetic({.states = s.states,
                            .order = s.order,
                            .concentration = s.concentration,
                            .seed = static_cast<uint64_t>(s.seed),
                            .train_tokens = s.train_tokens,
                            .validation_tokens = s.validation_tokens,
                            .test_tokens = s.validation_tokens});
}

Corpus open_corpus(const DataConfig& config, const Tokenizer& tokenizer) {
  Corpus corpus = open_corpus(config);
  if (corpus.vocab_size() != tokenizer.vocab_size() || corpus.tokenizer().to_json() != tokenizer.to_json()) {
    raise<DataError>("{} has another tokenizer ({}, {} tokens) than the model's training data ({}, {} tokens)",
                     corpus.name(), corpus.tokenizer().name(), corpus.vocab_size(), tokenizer.name(),
                     tokenizer.vocab_size());
  }
  return corpus;
}

}  // namespace moe
