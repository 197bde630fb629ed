// Initialises routers and experts from clusters (init.clusters). Before step 0 the inputs of each MoE layer are
// clustered, and each expert gets one cluster. Layers are processed in order, so a later layer's inputs come from the
// already initialised earlier ones.
#pragma once
#include <functional>
#include <set>

#include "core/step/local_batch.h"
#include "core/step/training_state.h"

namespace moe {

// Returns this rank's slice of the batch with index `index`, of train.batch samples each; valid until the next call.
using BatchSource = std::function<LocalBatch(int64_t index)>;

struct LayerClusters {
  int64_t layer = 0;
  std::vector<int64_t> sizes;  // of each expert's cluster
  double mean_cosine = 0;      // mean cosine of tokens with their centroids
  int64_t iterations = 0;
  double logit_deviation = 0;  // deviation of a token's logits with the new rows, root mean square over the tokens; 0
                               // for cosines
};

struct ClusterReport {
  int64_t tokens = 0;  // number of clustered tokens; each passed through the model once per layer
  std::vector<LayerClusters> layers;
};

// Throws UsageError for a model without MoE layers, a router without directions and fewer tokens than experts.
void check_clusters(const TrainConfig& config, const SampleShape& sample, const RunLength& run);

// Row e of a router becomes the centroid of cluster e minus the mean of all centroids, which does not affect the
// choice. All rows are scaled by one factor, so that their root mean square is init.clusters.scale times that of fresh
// rows. So the nearest centroid has the largest logit. Rows of which only the direction matters become the centroids,
// scaled to the length of fresh rows. With init.clusters.experts: tokens the rows of expert e's input matrix are set to
// the directions of random tokens of cluster e minus the mean of all tokens, and keep their lengths. In the layers
// `upcycled` (by name) init.reinitialise re-draws the inner units of expert e whose mean absolute activation on cluster
// e is smallest.
//
// Collective. All ranks gather all inputs and compute the same, so layouts differ only by rounding in the inputs. Does
// not change the optimizer.
ClusterReport start_from_clusters(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups,
                                  const std::set<std::string>& upcycled, const BatchSource& batches);

}  // namespace moe
