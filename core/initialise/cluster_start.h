// Routers and experts from clusters (init.clusters): before step 0 the inputs of each MoE layer are clustered, and each
// expert gets a cluster for its own. Layers come in their order, so that a later one sees what the earlier ones make.
#pragma once
#include <functional>
#include <set>

#include "core/step/local_batch.h"
#include "core/step/training_state.h"

namespace moe {

// This rank's share of the batch with this number, of train.batch samples each; valid until the next call.
using BatchSource = std::function<LocalBatch(int64_t index)>;

struct LayerClusters {
  int64_t layer = 0;
  std::vector<int64_t> sizes;  // of each expert's cluster
  double mean_cosine = 0;      // of tokens to their centroids
  int64_t iterations = 0;
  double logit_deviation = 0;  // of a token's logits by the new rows, root mean square over the tokens; 0 for cosines
};

struct ClusterReport {
  int64_t tokens = 0;  // that were clustered; each passed the model once for every layer
  std::vector<LayerClusters> layers;
};

// Throws UsageError for a model without MoE layers, a router without directions and fewer tokens than experts.
void check_clusters(const TrainConfig& config, const SampleShape& sample, const RunLength& run);

// Row e of a router becomes the centroid of cluster e less the mean of all centroids, which chooses nothing; all rows
// times one factor, such that their root mean square is init.clusters.scale of that of fresh ones. So the nearest
// centroid has the largest logit. Rows whose direction alone counts become the centroids, of fresh rows' length.
// With init.clusters.experts: tokens the rows of expert e's input matrix turn to random tokens of cluster e less the
// mean of all tokens, and keep their lengths. In the layers `upcycled` (by name) init.reinitialise draws those inner
// units of expert e anew whose activations on cluster e are smallest in the mean of their absolute values.
//
// Collective. All ranks gather all inputs and compute alike, so layouts differ only by what they make of the inputs,
// which is rounding. Leaves the optimizer as it was.
ClusterReport start_from_clusters(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups,
                                  const std::set<std::string>& upcycled, const BatchSource& batches);

}  // namespace moe
