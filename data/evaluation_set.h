// The data that a model is evaluated on: a number of sequences, each computed alone or after the preceding ones of its
// stream.
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
  // 0 where each sequence is computed alone. Otherwise the model keeps a context memory, and sequences i, i + streams,
  // i + 2 streams, ... follow one another.
  virtual int64_t streams() const { return 0; }
  // The token count by which sums over tokens are divided.
  virtual int64_t num_tokens() const = 0;
  // Loads sequences first, first + 1, ... Sequences past the last one are ignored entirely, so that all ranks can take
  // equal shares.
  virtual void load(int64_t first, int64_t count, Batch& batch) const = 0;
  // Settings that must be stated with a result, such as the context length.
  virtual std::vector<std::pair<const char*, int64_t>> terms() const { return {}; }
  // How the documents of a text are treated, by the name of its DocumentMode (document_windows.h). Empty where there
  // are no documents.
  virtual std::string_view documents() const { return {}; }
  // Whether the sources of its tokens are known, and writes those of all targets of a loaded batch, by place; places
  // that are not scored have any.
  virtual bool has_sources() const { return false; }
  virtual void target_sources(const Batch& /*batch*/, std::vector<int32_t>& /*sources*/) const {}
  // Exact number of bytes of text that the predicted tokens stand for; nothing where it is unknown.
  virtual std::optional<int64_t> raw_bytes() const { return std::nullopt; }
  // What of that text is unknown to the tokenizer; nothing where it was not counted.
  virtual std::optional<UnknownText> unknown() const { return std::nullopt; }
};

}  // namespace moe
