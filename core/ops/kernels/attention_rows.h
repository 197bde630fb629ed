// What attention does with one row of scores.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/integer.h"
#include "core/ops/attention_dropout.h"
#include "core/ops/kernels/drop_factors.h"
#include "core/ops/kernels/gemm/micro_kernel.h"
#include "core/ops/kernels/vector_math.h"

namespace moe::cpu::inline MOE_LEVEL {

// scores (visible) -> e^(score - largest), and zeros up to `end`; returns the sum and the largest score.
template <class T>
static std::pair<T, T> exponentials(T* scores, int64_t visible, int64_t end) {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  constexpr int64_t kLanes = kVectorBytes / sizeof(T);
  // Whole vectors, without a tail of single exponentials: elements after `visible` add nothing to a sum of at least 1.
  const int64_t whole = round_up(visible, kLanes);
  std::fill(scores + visible, scores + whole, -std::numeric_limits<T>::infinity());
  Vector maxima;  // by hand: compilers do not vectorise a maximum of floats
  std::memcpy(&maxima, scores, sizeof(Vector));
  for (int64_t j = kLanes; j < whole; j += kLanes) {
    Vector next;
    std::memcpy(&next, scores + j, sizeof(Vector));
    maxima = next > maxima ? next : maxima;
  }
  T largest = maxima[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) largest = std::max<T>(largest, maxima[lane]);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < whole; ++j) {
    scores[j] = fast_exp(scores[j] - largest);
    sum += scores[j];
  }
  for (int64_t j = visible; j < end; ++j) scores[j] = 0;
  return {sum, largest};
}

// The documents of one sequence (AttentionLayout). Neither begins nor ends decrease along a sequence.
struct SequenceDocuments {
  const int32_t* begins = nullptr;
  const int32_t* ends = nullptr;

  static SequenceDocuments of(const AttentionLayout& layout, int64_t sequence) {
    if (layout.begins == nullptr) return {};
    return {layout.begins + sequence * layout.time, layout.ends + sequence * layout.time};
  }
  explicit operator bool() const { return begins != nullptr; }
  // The first key that a query attends to, and the end of the queries that attend to a key, at most `most`.
  int64_t first_key(int64_t query) const { return begins == nullptr ? 0 : begins[query]; }
  int64_t end_query(int64_t key, int64_t most) const {
    return ends == nullptr ? most : std::min<int64_t>(most, ends[key]);
  }
};

// Dropout of the attention weights of one query and head for the keys from `first` to its last `visible` one.
struct HeadMask {
  const AttentionMask& mask;
  int64_t sequence, head;

  // Key positions start at 0 here, so the first key begins a quad.
  template <class T>
  void apply(T* weights, int64_t query, int64_t first, int64_t visible) const {
    constexpr int64_t kBlock = 256;
    T factors[kBlock];
    for (int64_t key = first / 4 * 4; key < visible; key += kBlock) {
      const int64_t count = std::min(kBlock, visible - key);
      drop_factors(factors, mask.key, mask.element(sequence, head, query, mask.quad_of(key)), (count + 3) / 4,
                   mask.threshold, static_cast<T>(mask.keep));
      for (int64_t j = 0; j < count; ++j) weights[key + j] *= factors[j];
    }
  }
};

}  // namespace moe::cpu::inline MOE_LEVEL
