// moe-retrieve tune and evaluate: interpolates a model with a store.
#pragma once
#include "comm/mpi_session.h"
#include "core/nearest/retrieval_options.h"

namespace moe {

// Collective. Chooses k, lambda and temperature on a text, prints them and writes them to options.output.
void tune_store(const RetrievalOptions& options, MpiSession& session);
// Collective. Prints bits per character without and with the store.
void evaluate_store(const RetrievalOptions& options, MpiSession& session);

}  // namespace moe
