// What moe-retrieve is asked for. Each command reads some of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/nearest/faiss_search.h"

namespace moe {

struct RetrievalOptions {
  std::string run, which = "last";  // a run or checkpoint, and the checkpoint of a run
  std::string store, output;        // folders
  std::string data, split;          // another corpus than the run's, and the split; empty: each command's own
  std::string key = "hidden", dtype = "f16";
  std::string text;  // whose continuation is searched for
  std::string index = "flat", tuned, table, device = "auto", precision = "run";
  EvaluationOptions evaluation{.sequences = 8};
  IvfPqOptions ivf;
  std::vector<int64_t> ks;     // numbers of neighbours to choose from
  std::vector<double> shares;  // of the store that are searched
  int64_t chunk = 64, length = 64, window = 0;
  int64_t k = 8, tuning_tokens = 0, expert_parallel = 0;
  int threads = 0;
  double lambda = -1, temperature = 0;  // below 0, and 0: not given
  bool json = false, verify = false;
};

}  // namespace moe
