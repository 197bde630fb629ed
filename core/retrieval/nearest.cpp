#include "core/retrieval/nearest.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

namespace {

// Computes the distances of one query's candidates; one for each thread.
class Ranking {
 public:
  explicit Ranking(const KeyStore& store) : store_(store), key_(as_index(store.width())) {}

  void rank(std::span<const float> query, std::span<const int64_t> candidates, std::span<int64_t> ids,
            std::span<float> distances) {
    ranked_.clear();
    for (const int64_t id : candidates) {
      if (id < 0) continue;
      store_.read_keys(id, 1, key_);
      double sum = 0;
      for (size_t i = 0; i < key_.size(); ++i) {
        const double difference = static_cast<double>(query[i]) - static_cast<double>(key_[i]);
        sum += difference * difference;
      }
      ranked_.emplace_back(sum, id);
    }
    std::sort(ranked_.begin(), ranked_.end());
    for (size_t i = 0; i < ids.size() && i < ranked_.size(); ++i) {
      ids[i] = ranked_[i].second;
      distances[i] = static_cast<float>(ranked_[i].first);
    }
  }

 private:
  const KeyStore& store_;
  std::vector<float> key_;
  std::vector<std::pair<double, int64_t>> ranked_;
};

}  // namespace

NearestEntries nearest_entries(const KeyStore& store, const CandidateSearch& search, std::span<const float> queries,
                               int64_t k, int64_t count) {
  MOE_CHECK(k >= 1 && count >= k, "{} of {} candidates", k, count);
  const int64_t width = store.width(), rows = std::ssize(queries) / width;
  std::vector<int64_t> candidates(as_index(rows * count), -1);
  search.find(queries, count, candidates);
  NearestEntries nearest{.k = k,
                         .ids = std::vector<int64_t>(as_index(rows * k), -1),
                         .distances = std::vector<float>(as_index(rows * k), std::numeric_limits<float>::infinity())};
#pragma omp parallel
  {
    Ranking ranking(store);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
      const auto part = [&](auto& list, int64_t each) {
        return std::span(list).subspan(as_index(row * each), as_index(each));
      };
      ranking.rank(queries.subspan(as_index(row * width), as_index(width)), part(candidates, count),
                   part(nearest.ids, k), part(nearest.distances, k));
    }
  }
  return nearest;
}

}  // namespace moe
