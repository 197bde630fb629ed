#include "core/tasks/retrieved_prefix.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/content_hash.h"

namespace moe {

RetrievedPrefix::RetrievedPrefix(const DataConfig& config, const Split& train)
    : train_(train), length_(config.retrieval.length), neighbours_(config.retrieval.neighbours) {
  const NeighbourFacts& facts = neighbours_.facts();
  if (length_ > facts.length || config.sequence > facts.window) {
    raise<UsageError>(
        "{}: {} was made for prefixes of up to {} tokens and windows of up to {}; data.retrieval.length is {} and "
        "data.sequence {}",
        config.retrieval.where("neighbours"), config.retrieval.neighbours, facts.length, facts.window, length_,
        config.sequence);
  }
  require(train);
}

void RetrievedPrefix::require(const Split& split) const {
  neighbours_.require(split.name(), format_hash(split.content_hash()));
}

void RetrievedPrefix::add(const std::string& split, const Batch& windows, Batch& batch) const {
  const int64_t time = windows.length + length_;
  batch.resize(windows.sequences, time);
  batch.prefix = length_;
  batch.sample_ids = windows.sample_ids, batch.domains = windows.domains;
  batch.document_begins.clear(), batch.document_ends.clear();
  batch.lengths.clear();
  for (int64_t row = 0; row < windows.sequences; ++row) {
    const int64_t tokens = windows.lengths.empty() ? windows.length : windows.lengths[as_index(row)];
    int32_t *inputs = batch.inputs.data() + row * time, *targets = batch.targets.data() + row * time;
    std::fill_n(targets, length_, kIgnoreTarget);
    if (tokens > 0)
      train_.read(neighbours_.prefix_of(split, windows.starts[as_index(row)]), length_, inputs);
    else
      std::fill_n(inputs, length_, kPaddingToken);  // a row past the last window
    std::copy_n(windows.inputs.begin() + row * windows.length, windows.length, inputs + length_);
    std::copy_n(windows.targets.begin() + row * windows.length, windows.length, targets + length_);
    batch.starts[as_index(row)] = windows.starts[as_index(row)] - length_;
    if (!windows.lengths.empty()) batch.lengths.push_back(static_cast<int32_t>(tokens > 0 ? tokens + length_ : 0));
  }
}

void PrefixedSet::load(int64_t first, int64_t count, Batch& batch) const {
  Batch windows;
  windows_->load(first, count, windows);
  prefix_.add(split_, windows, batch);
}

std::vector<std::pair<const char*, int64_t>> PrefixedSet::terms() const {
  std::vector<std::pair<const char*, int64_t>> terms = windows_->terms();
  terms.emplace_back("retrieved", prefix_.length());
  return terms;
}

}  // namespace moe
