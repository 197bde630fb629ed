// Windows of a text that begin with a prefix: what the training text has at the place that is most like the text before
// the window (data.retrieval). The prefix is context, of which nothing is scored.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/config/train_config.h"
#include "core/retrieval/neighbour_map.h"
#include "data/evaluation_set.h"

namespace moe {

class RetrievedPrefix {
 public:
  // `train`: the training split, which must outlive this object. Throws CheckpointError for neighbours that are missing
  // or damaged, UsageError for ones that were made for shorter prefixes or windows, DataError for ones of another text.
  RetrievedPrefix(const DataConfig& config, const Split& train);

  int64_t length() const { return length_; }
  const std::string& hash() const { return neighbours_.hash(); }
  // Throws DataError unless the neighbours are of this split too.
  void require(const Split& split) const;
  // `windows`: of a split, each with its start. Writes the same windows with their prefixes to `batch`.
  void add(const std::string& split, const Batch& windows, Batch& batch) const;

 private:
  const Split& train_;
  int64_t length_;
  NeighbourMap neighbours_;
};

// An evaluation set of windows, each with its prefix. `prefix` must outlive it.
class PrefixedSet : public EvaluationSet {
 public:
  PrefixedSet(std::unique_ptr<EvaluationSet> windows, std::string split, const RetrievedPrefix& prefix)
      : windows_(std::move(windows)), split_(std::move(split)), prefix_(prefix) {}

  int64_t num_sequences() const override { return windows_->num_sequences(); }
  int64_t num_tokens() const override { return windows_->num_tokens(); }
  void load(int64_t first, int64_t count, Batch& batch) const override;
  std::vector<std::pair<const char*, int64_t>> terms() const override;
  std::string_view documents() const override { return windows_->documents(); }
  std::optional<int64_t> raw_bytes() const override { return windows_->raw_bytes(); }
  std::optional<UnknownText> unknown() const override { return windows_->unknown(); }

 private:
  std::unique_ptr<EvaluationSet> windows_;
  std::string split_;
  const RetrievedPrefix& prefix_;
};

}  // namespace moe
