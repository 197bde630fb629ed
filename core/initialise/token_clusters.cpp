#include "core/initialise/token_clusters.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

std::vector<int64_t> TokenClusters::members(int64_t cluster) const {
  std::vector<int64_t> tokens;
  for (size_t t = 0; t < cluster_of.size(); ++t) {
    if (cluster_of[t] == cluster) tokens.push_back(static_cast<int64_t>(t));
  }
  return tokens;
}

namespace {

float dot(const float* a, const float* b, int64_t d) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < d; ++i) sum += a[i] * b[i];
  return sum;
}

// Divides x by its length; a zero vector stays zero.
template <class T>
void normalise(const T* x, float* y, int64_t d) {
  double squares = 0;
  for (int64_t i = 0; i < d; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double inverse = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (int64_t i = 0; i < d; ++i) y[i] = static_cast<float>(static_cast<double>(x[i]) * inverse);
}

class SphericalKMeans {
 public:
  SphericalKMeans(std::vector<float> tokens, int64_t d, int64_t clusters)
      : d_(d), tokens_(std::ssize(tokens) / d), clusters_(clusters), cosine_(static_cast<size_t>(tokens_)) {
    result_.directions = std::move(tokens);
    result_.centroids.resize(static_cast<size_t>(clusters * d));
    result_.cluster_of.assign(static_cast<size_t>(tokens_), -1);
    result_.sizes.resize(static_cast<size_t>(clusters));
    for (int64_t t = 0; t < tokens_; ++t) normalise(token(t), token(t), d);
  }

  TokenClusters run(int64_t most_iterations, const RandomKey& key) {
    seed(key);
    assign();
    while (result_.iterations < most_iterations) {
      fill_empty();
      move_centroids();
      ++result_.iterations;
      if (!assign()) break;
    }
    double sum = 0;
    for (const float c : cosine_) sum += static_cast<double>(c);
    result_.mean_cosine = sum / static_cast<double>(std::max<int64_t>(tokens_, 1));
    return std::move(result_);
  }

 private:
  float* token(int64_t t) { return result_.directions.data() + t * d_; }
  float* centroid(int64_t c) { return result_.centroids.data() + c * d_; }
  int64_t& size_of_cluster(int64_t t) { return result_.sizes[as_index(result_.cluster_of[static_cast<size_t>(t)])]; }

  // Draws the first seed uniformly and each further one with probability proportional to the token's squared distance 2
  // (1 - cosine) from the nearest seed.
  void seed(const RandomKey& key) {
    std::vector<double> distance(static_cast<size_t>(tokens_), 1);
    for (int64_t c = 0; c < clusters_; ++c) {
      double total = 0;
      for (const double x : distance) total += x;
      const double wanted = static_cast<double>(key.uniform(static_cast<uint64_t>(c))) * total;
      int64_t chosen = 0;
      double sum = 0;
      for (int64_t t = 0; t < tokens_; ++t) {
        const double own = distance[as_index(t)];
        if (own > 0) chosen = t;
        sum += own;
        if (sum > wanted) break;
      }
      std::copy_n(token(chosen), d_, centroid(c));
#pragma omp parallel for schedule(static)
      for (int64_t t = 0; t < tokens_; ++t) {
        const double own = t == chosen ? 0 : std::max(0.0, 1 - static_cast<double>(dot(token(t), centroid(c), d_)));
        distance[as_index(t)] = c == 0 ? own : std::min(distance[as_index(t)], own);
      }
    }
  }

  // Assigns each token to its nearest centroid; returns whether any token changed its cluster.
  bool assign() {
    int64_t changed = 0;
#pragma omp parallel for schedule(static) reduction(+ : changed)
    for (int64_t t = 0; t < tokens_; ++t) {
      int32_t best = 0;
      float largest = dot(token(t), centroid(0), d_);
      for (int64_t c = 1; c < clusters_; ++c) {
        const float cosine = dot(token(t), centroid(c), d_);
        if (cosine > largest) largest = cosine, best = static_cast<int32_t>(c);
      }
      int32_t& own = result_.cluster_of[as_index(t)];
      changed += own != best;
      own = best;
      cosine_[as_index(t)] = largest;
    }
    std::fill(result_.sizes.begin(), result_.sizes.end(), 0);
    for (int64_t t = 0; t < tokens_; ++t) ++size_of_cluster(t);
    return changed > 0;
  }

  void fill_empty() {
    for (int64_t c = 0; c < clusters_; ++c) {
      if (result_.sizes[as_index(c)] > 0) continue;
      int64_t furthest = -1;
      for (int64_t t = 0; t < tokens_; ++t) {
        if (size_of_cluster(t) < 2) continue;
        if (furthest < 0 || cosine_[as_index(t)] < cosine_[as_index(furthest)]) furthest = t;
      }
      if (furthest < 0) return;  // every cluster has at most one token
      --size_of_cluster(furthest);
      result_.cluster_of[as_index(furthest)] = static_cast<int32_t>(c);
      cosine_[as_index(furthest)] = 1;
      ++size_of_cluster(furthest);
    }
  }

  void move_centroids() {
    std::vector<double> sums(static_cast<size_t>(clusters_ * d_));
    for (int64_t t = 0; t < tokens_; ++t) {
      double* const sum = sums.data() + result_.cluster_of[as_index(t)] * d_;
      const float* const x = token(t);
      for (int64_t i = 0; i < d_; ++i) sum[i] += static_cast<double>(x[i]);
    }
    for (int64_t c = 0; c < clusters_; ++c) {
      if (result_.sizes[as_index(c)] > 0) normalise(sums.data() + c * d_, centroid(c), d_);
    }
  }

  const int64_t d_, tokens_, clusters_;
  std::vector<float> cosine_;  // of each token to its centroid
  TokenClusters result_;
};

}  // namespace

TokenClusters cluster_tokens(std::vector<float> tokens, int64_t d, int64_t clusters, int64_t most_iterations,
                             const RandomKey& key) {
  MOE_CHECK(d > 0 && clusters > 0 && std::ssize(tokens) % d == 0 && std::ssize(tokens) >= clusters * d,
            "cannot make {} clusters of {} values in rows of {}: fewer rows than clusters, or a partial row", clusters,
            tokens.size(), d);
  return SphericalKMeans(std::move(tokens), d, clusters).run(most_iterations, key);
}

}  // namespace moe
