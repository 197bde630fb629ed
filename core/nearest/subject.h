// A trained language model with its text, as moe-retrieve's commands use them.
#pragma once
#include <memory>
#include <string>

#include "comm/mpi_session.h"
#include "core/nearest/retrieval_options.h"
#include "core/reload/load_run.h"

namespace moe {

struct Subject {
  LoadedRun run;
  std::unique_ptr<Task> task;
  std::string model, vocabulary;  // hashes
  bool first = false;             // on rank 0
};

// Collective. Loads the model of options.run and opens its data or options.data. Throws UsageError for a model that
// does not predict tokens.
Subject load_subject(const RetrievalOptions& options, MpiSession& session);

}  // namespace moe
