// moe-retrieve search: the stored places that are most like the end of a text.
#pragma once
#include "comm/mpi_session.h"
#include "core/nearest/retrieval_options.h"

namespace moe {

// Collective. Prints options.k places of options.store with the text around them.
void search_store(const RetrievalOptions& options, MpiSession& session);

}  // namespace moe
