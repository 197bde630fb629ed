// The programs' command lines, and a run with steps of about a millisecond.
#pragma once
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace moe {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Arguments program(const std::string& name) {
  return {MOE_PROGRAMS "/" + name};
}

// Runs the program, which must succeed.
Finished done(const Arguments& arguments);

// Allows more ranks than cores; Open MPI 4 and 5 both accept these options.
inline Arguments mpirun(int ranks, const Arguments& options = {}) {
  return Arguments{MPIRUN, "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-n", std::to_string(ranks)} + options;
}

// One --set for each "key=value".
inline Arguments settings(const Arguments& assignments) {
  Arguments result;
  for (const std::string& assignment : assignments) result = result + Arguments{"--set", assignment};
  return result;
}

// moe-train on the synthetic source, in the run folder `folder`/run.
inline Arguments tiny_train(const std::string& folder, const Arguments& assignments = {}) {
  return program("moe-train") + settings(Arguments{"folder=" + folder,
                                                   "name=run",
                                                   "parallel.threads=1",
                                                   "model.layers=2",
                                                   "model.d_model=16",
                                                   "model.attention.heads=2",
                                                   "model.dropout=0.1",
                                                   "moe.experts=4",
                                                   "moe.d_ff=16",
                                                   "data.sequence=16",
                                                   "data.synthetic.states=16",
                                                   "data.synthetic.train_tokens=20000",
                                                   "data.synthetic.validation_tokens=2000",
                                                   "train.batch=4",
                                                   "train.steps=30",
                                                   "train.learning_rate={kind: constant, value: 0.003}",
                                                   "log.every=1",
                                                   "evaluate.every=5",
                                                   "evaluate.tokens=500",
                                                   "checkpoint.every=5"} +
                                         assignments);
}

}  // namespace moe
