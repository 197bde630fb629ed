// The plots of a run's course, from metrics.jsonl. Each function returns <figure> elements, or nothing where the run
// has no such records.
#pragma once
#include <string>

#include "core/inspect/inspection.h"

namespace moe {

std::string learning_plots(const Inspection& inspection);  // learning curves, learning rate, gradient norm, speed
std::string balance_plots(const Inspection& inspection);   // max/mean, dead experts, balance losses, router entropy
std::string load_plots(const Inspection& inspection);      // a map of experts over time for every layer

}  // namespace moe
