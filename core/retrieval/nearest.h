// The nearest keys of a store: candidates come from a search (core/nearest has FAISS's), their distances are computed
// here.
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/retrieval/key_store.h"

namespace moe {

class CandidateSearch {
 public:
  virtual ~CandidateSearch() = default;
  // Writes `count` entries that may be nearest to each query (queries, width), in any order and each at most once; -1
  // where there are no more. ids (queries, count).
  virtual void find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const = 0;
};

// The nearest entries of each query, nearest first; entries at equal distances by their number.
struct NearestEntries {
  int64_t k = 0;
  std::vector<int64_t> ids;      // (queries, k), -1 for none
  std::vector<float> distances;  // (queries, k): squared Euclidean distances, infinite for none
};

// Candidates that are asked for besides the k nearest: distances of a search may be rounded or approximate.
inline constexpr int64_t kSpareCandidates = 16;

// Of `count` candidates per query, at least k, the k with the smallest distances, which are computed in f64 from the
// stored keys. The result depends on neither threads nor the number of queries, as far as the search does not.
NearestEntries nearest_entries(const KeyStore& store, const CandidateSearch& search, std::span<const float> queries,
                               int64_t k, int64_t count);

}  // namespace moe
