// Clusters token vectors by direction with spherical k-means (Dhillon and Modha, 2001) on the host, seeded as in
// k-means++ (Arthur and Vassilvitskii, 2007).
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/philox.h"

namespace moe {

struct TokenClusters {
  std::vector<float> directions;    // (tokens, d): the tokens, divided by their lengths
  std::vector<float> centroids;     // (clusters, d), of length 1
  std::vector<int32_t> cluster_of;  // (tokens): largest cosine to the centroid; ties: smaller index
  std::vector<int64_t> sizes;       // (clusters)
  double mean_cosine = 0;           // between tokens and their centroids
  int64_t iterations = 0;           // until no token changed its cluster, at most the allowed number

  // The tokens of a cluster, in ascending order.
  std::vector<int64_t> members(int64_t cluster) const;
};

// tokens (n, d), n >= clusters. A cluster that is left without tokens gets the token that is furthest from its
// centroid; ties go to the earlier token. Sums are f64 in the order of the tokens, so the result is bitwise
// reproducible.
TokenClusters cluster_tokens(std::vector<float> tokens, int64_t d, int64_t clusters, int64_t most_iterations,
                             const RandomKey& key);

}  // namespace moe
