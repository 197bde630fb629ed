// A store of random keys, and an exact search without FAISS.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/retrieval/nearest.h"

namespace moe::test {

inline KeyedTokens random_entries(int64_t count, int64_t width, uint64_t seed = 1) {
  const RandomKey key{seed, RandomPurpose::test, 0, 0};
  KeyedTokens tokens{.width = width, .keys = {}, .next = {}, .positions = {}, .nats = {}};
  for (int64_t i = 0; i < count * width; ++i)
    tokens.keys.push_back(static_cast<float>(unit_of(key.bits(static_cast<uint64_t>(i))) - 0.5));
  for (int64_t i = 0; i < count; ++i) {
    tokens.next.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % 7));
    tokens.positions.push_back(i + 1);
    tokens.nats.push_back(1.5f);
  }
  return tokens;
}

inline StoreFacts sample_facts(NumberFormat format = NumberFormat::f32) {
  return {.checkpoint = "run/step_1",
          .model = "m",
          .vocabulary = "v",
          .data = "text",
          .path = "text",
          .split = "train",
          .text = "t",
          .documents = "joined",
          .num_documents = 2,
          .context = 8,
          .stride = 8,
          .format = format};
}

inline void write_sample_store(const std::string& folder, const KeyedTokens& tokens,
                               NumberFormat format = NumberFormat::f32) {
  write_store(folder, sample_facts(format), [&](const StoreSink& add) { add(tokens); });
}

// Computes all distances.
class PlainSearch : public CandidateSearch {
 public:
  explicit PlainSearch(const KeyStore& store) : store_(store) {}
  void find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const override {
    const int64_t width = store_.width();
    std::vector<float> key(as_index(width));
    std::fill(ids.begin(), ids.end(), -1);
    for (int64_t q = 0; q < std::ssize(queries) / width; ++q) {
      std::vector<std::pair<double, int64_t>> all;
      for (int64_t e = 0; e < store_.size(); ++e) {
        store_.read_keys(e, 1, key);
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) {
          const double d = double(queries[as_index(q * width + i)]) - double(key[as_index(i)]);
          sum += d * d;
        }
        all.emplace_back(sum, e);
      }
      std::sort(all.begin(), all.end());
      for (int64_t i = 0; i < std::min(count, store_.size()); ++i)
        ids[as_index(q * count + i)] = all[as_index(i)].second;
    }
  }

 private:
  const KeyStore& store_;
};

}  // namespace moe::test
