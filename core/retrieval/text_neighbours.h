// The neighbours of a text's tokens in a store.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/retrieval/interpolation.h"
#include "core/retrieval/nearest.h"

namespace moe {

// A way in which a store is searched.
struct StoreSearch {
  std::string name;        // in reports
  int64_t entries = 0;     // that are searched
  int64_t candidates = 0;  // per query, at least as many as neighbours are wanted
  std::unique_ptr<CandidateSearch> search;
};

struct TextNeighbours {
  Evaluation model;                    // without the store; the same on every rank
  std::vector<TokenNeighbours> found;  // for each search, in the order of the text; on rank 0 alone
};

// Collective. Evaluates the set and finds the k nearest entries of each scored token. Each rank searches for its own
// tokens; the store must be readable by all. `world` connects the hosts' memory. Memory: 8 * k + 16 bytes for each
// token and search.
//
TextNeighbours find_neighbours(TrainingState& state, const ProcessGroups& groups, Communicator& world,
                               const EvaluationSet& set, int64_t sequences, const KeyStore& store,
                               std::span<const StoreSearch> searches, int64_t k);

}  // namespace moe
