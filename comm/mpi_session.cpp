#include "comm/mpi_session.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "comm/mpi_communicator.h"
#include "comm/self_communicator.h"
#include "core/base/failure.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "core/machine/waits.h"

namespace moe {

static bool started_by_launcher() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"}) {
    if (std::getenv(variable)) return true;
  }
  return false;
}

MpiSession::MpiSession(int& argc, char**& argv) {
  if (!started_by_launcher()) {
    world_ = std::make_shared<SelfCommunicator>();
    return;
  }
  int provided = 0;
  MPI_CHECK(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided));
  active_ = true;
  MPI_Comm host = MPI_COMM_NULL;
  MPI_CHECK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  MPI_CHECK(MPI_Comm_rank(host, &local_.rank));
  MPI_CHECK(MPI_Comm_size(host, &local_.size));
  // A host's number is that of its first rank.
  int first = 0;
  MPI_CHECK(MPI_Comm_rank(MPI_COMM_WORLD, &first));
  MPI_CHECK(MPI_Bcast(&first, 1, MPI_INT, 0, host));
  MPI_Comm_free(&host);
  world_ = std::make_shared<MpiCommunicator>(MPI_COMM_WORLD, first,
                                             std::make_shared<MpiTransfers>(provided == MPI_THREAD_MULTIPLE));
}

std::string MpiSession::notice() const {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    const char* value = std::getenv(variable);
    const int64_t ranks = value ? std::strtoll(value, nullptr, 10) : 0;
    if (ranks <= world_->size()) continue;
    return fmt::format(
        "{} is {}, but MPI connects {} rank{}: if {} processes were started, each of them trains alone. With srun, "
        "choose an interface that this MPI supports (srun --mpi=list, for example srun --mpi=pmix), or use mpirun",
        variable, value, world_->size(), world_->size() == 1 ? "" : "s", value);
  }
  return "";
}

MpiSession::~MpiSession() {
  world_.reset();
  if (active_) MPI_Finalize();
}

int run_program(int argc, char** argv, const std::function<int(MpiSession&)>& body) {
  let_waits_give_way(argv);
  MpiSession session(argc, argv);
  const int rank = session.world()->rank(), size = session.world()->size();
  log::initialise(rank, size);
  auto fail = [&](ExitCode code, const std::string& message) {
    // Errors that occur on all ranks, such as all usage errors, are reported by rank 0. The other ranks wait, and
    // report the error only if rank 0 does not end the program.
    const auto patience = std::chrono::milliseconds(code == ExitCode::usage ? 5000 : 500);
    if (rank > 0) std::this_thread::sleep_for(patience);
    const std::string where = size > 1 ? fmt::format(" (rank {} of {})", rank, size) : "";
    std::fprintf(stderr, "Error: %s%s\n", shown(message).c_str(), where.c_str());
    std::fflush(stderr);
    if (size > 1) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
    return static_cast<int>(code);
  };
  try {
    const int code = body(session);
    check_output();
    return code;
  } catch (...) {
    const Failure failure = current_failure();
    return fail(failure.code, failure.message);
  }
}

}  // namespace moe
