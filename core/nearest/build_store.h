// moe-retrieve build, index and info: makes a store, compresses its keys, and says what it holds.
#pragma once
#include "comm/mpi_session.h"
#include "core/nearest/retrieval_options.h"

namespace moe {

// Collective. Builds options.output from a split of the run's text or of options.data.
void build_store(const RetrievalOptions& options, MpiSession& session);
// Adds an IVF-PQ index to options.store.
void index_store(const RetrievalOptions& options, MpiSession& session);
// Prints the header of options.store; with options.verify all keys are read.
void print_store(const RetrievalOptions& options, MpiSession& session);

}  // namespace moe
