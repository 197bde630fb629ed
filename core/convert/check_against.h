// Compares the logits of a model of ours with those of a folder that transformers loads, through a Python of the user.
#pragma once
#include <cstdint>
#include <string>

#include "core/convert/logits.h"

namespace moe {

struct LogitComparison {
  int64_t positions = 0;
  double largest_difference = 0, mean_difference = 0;
  double largest_logit = 0;
  double divergence = 0;  // mean Kullback-Leibler divergence of theirs from ours, in nats
  double same_best = 0;   // share of positions with the same most likely token
};

// Random token ids below `vocab`.
TokenSequences random_sequences(int64_t vocab, int64_t sequences, int64_t time, uint64_t seed);

// `python`: a program with torch, transformers and safetensors. Throws UsageError where it cannot be started or lacks
// them, and CheckpointError where it fails otherwise.
LogitComparison compare_logits(LoadedRun& run, const TokenSequences& sequences, const std::string& theirs,
                               const std::string& python);

}  // namespace moe
