// Clusters of token vectors by direction: spherical k-means (Dhillon and Modha, 2001) on the host, seeded like
// k-means++ (Arthur and Vassilvitskii, 2007).
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/philox.h"

namespace moe {

struct TokenClusters {
  std::vector<float> directions;    // (tokens, d): the tokens, divided by their lengths
  std::vector<float> centroids;     // (clusters, d), of length 1
  std::vector<int32_t> cluster_of;  // (tokens): whose centroid has the largest cosine, ties to the smaller
  std::vector<int64_t> sizes;       // (clusters)
  double mean_cosine = 0;           // of the tokens to their centroids
  int64_t iterations = 0;           // until no token changed its cluster, or as many as were allowed

  // The tokens of a cluster, in order.
  std::vector<int64_t> members(int64_t cluster) const;
};

// tokens (n, d), n >= clusters. A cluster that is left without tokens gets the one that is furthest from its centroid,
// ties to the earlier. Sums are f64 in the order of the tokens: the result is a function of the arguments, to the bit.
TokenClusters cluster_tokens(std::vector<float> tokens, int64_t d, int64_t clusters, int64_t most_iterations,
                             const RandomKey& key);

}  // namespace moe
