// A store that is opened to be searched for the states of a model.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/nearest/subject.h"
#include "core/retrieval/key_store.h"
#include "core/retrieval/text_neighbours.h"

namespace moe {

struct OpenStore {
  KeyStore store;
  std::vector<int64_t> ks;            // numbers of neighbours
  std::vector<StoreSearch> searches;  // one, or more with options.shares

  int64_t largest_k() const;
};

// Prepares the searches that the options ask for. `ks`: empty for those of the options, or by default 8, 64 and 256 as
// far as there are so many entries. Throws UsageError, and CheckpointError for a store of another model.
std::unique_ptr<OpenStore> open_store(const RetrievalOptions& options, const Subject& subject, KeyStore store,
                                      std::vector<int64_t> ks);

}  // namespace moe
