// moe-retrieve neighbours: for each chunk of a corpus the nearest chunk of the training text, for data.retrieval.
#pragma once
#include "comm/mpi_session.h"
#include "core/nearest/retrieval_options.h"

namespace moe {

// Collective. Writes the folder options.output (core/retrieval/neighbour_map.h).
void find_chunk_neighbours(const RetrievalOptions& options, MpiSession& session);

}  // namespace moe
