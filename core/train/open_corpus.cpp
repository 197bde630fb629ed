#include "core/train/open_corpus.h"

namespace moe {

Corpus open_corpus(const DataConfig& config) {
  if (config.path != "synthetic") return Corpus::open(config.path, {.vocab_size = config.vocab_size});
  const SyntheticDataConfig& s = config.synthetic;
  return Corpus::synthetic({.states = s.states,
                            .order = s.order,
                            .concentration = s.concentration,
                            .seed = static_cast<uint64_t>(s.seed),
                            .train_tokens = s.train_tokens,
                            .validation_tokens = s.validation_tokens,
                            .test_tokens = s.validation_tokens});
}

}  // namespace moe
