// What a model is evaluated on: so many sequences, each computed alone or after those before it in its stream.
#pragma once
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "data/batch_loader.h"

namespace moe {

class EvaluationSet {
 public:
  virtual ~EvaluationSet() = default;
  virtual int64_t num_sequences() const = 0;
  // 0 where each sequence is computed alone; otherwise the model remembers, and sequences number i, i + streams, i + 2
  // streams, ... follow one another.
  virtual int64_t streams() const { return 0; }
  // What sums over tokens are divided by.
  virtual int64_t num_tokens() const = 0;
  // Sequences first, first + 1, ... Those behind the last one are ignored entirely, so that all ranks can take equal
  // shares.
  virtual void load(int64_t first, int64_t count, Batch& batch) const = 0;
  // What else has to be said beside a figure, such as the context that was seen.
  virtual std::vector<std::pair<const char*, int64_t>> terms() const { return {}; }
  // How documents of a text stand to each other: "joined" where a prediction may see those before its own. Nothing
  // where there are none.
  virtual std::string_view documents() const { return {}; }
  // Bytes of text that the predicted tokens stand for, to the byte; nothing where that is not known.
  virtual std::optional<int64_t> raw_bytes() const { return std::nullopt; }
};

}  // namespace moe
