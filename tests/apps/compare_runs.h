// Compares the results of two runs.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"

namespace moe {

// The largest difference of any element of any model tensor (with `moments`, also of the optimizer's) between two
// checkpoints, relative to the largest element of its tensor; infinity when they hold different tensors.
double largest_difference(const std::string& checkpoint, const std::string& other, bool moments = true);

// The last checkpoint of `folder`/run, where tiny_train() writes.
std::string last_checkpoint(const std::string& folder);

// Makes the checkpoint one of version 0.1, whose state has no hashes of the files.
void forget_hashes(const std::string& checkpoint);

// The records of metrics.jsonl of this type, in order.
std::vector<Json> records_of(const std::string& run, const std::string& type);
// The records of metrics.jsonl that do not depend on time and machine: without timings and checkpoints.
std::vector<Json> comparable_metrics(const std::string& run);
// The first record that differs between two runs, as text; empty when there is none.
std::string metrics_difference(const std::string& run, const std::string& other);

}  // namespace moe
