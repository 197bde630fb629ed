// FAISS (MIT licence) as the search of a store's nearest keys. Only moe-retrieve is linked with it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/retrieval/nearest.h"

namespace moe {

// Exact search: the keys go through IndexFlatL2 block by block, so memory does not depend on the store's size.
class FlatSearch : public CandidateSearch {
 public:
  // `entries`: the store's first entries that are searched; 0: all. The store must outlive this object.
  FlatSearch(const KeyStore& store, int64_t entries = 0);
  void find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const override;

 private:
  const KeyStore& store_;
  int64_t entries_;
};

struct IvfPqOptions {
  int64_t lists = 0;    // cells of the coarse quantizer; 0: sqrt(entries), at most one for 39 keys of the sample
  int64_t bytes = 0;    // of a key's code; 0: about a quarter of its numbers
  int64_t sample = 0;   // keys that the quantizers are trained on; 0: 256 for each list, at least 16,384
  uint64_t seed = 1;    // of the sample and of k-means
  int64_t probes = 16;  // lists that a search looks into
};

// Trains IVF-PQ on a sample of the keys, adds all of them, and writes the index into the store's folder, where it
// replaces an earlier one. The bits depend on the seed, not on threads. Throws UsageError for a store that is too
// small, CheckpointError when the file cannot be written.
void build_ivf_pq(const KeyStore& store, const IvfPqOptions& options);

// The index that build_ivf_pq() wrote.
class IvfPqSearch : public CandidateSearch {
 public:
  // Throws CheckpointError if there is none, if it is damaged, or if it is of other keys than the store's.
  IvfPqSearch(const KeyStore& store, int64_t probes);
  ~IvfPqSearch() override;
  void find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const override;
  std::string description() const { return description_; }

 private:
  struct Index;
  std::unique_ptr<Index> index_;
  std::string description_;
};

}  // namespace moe
