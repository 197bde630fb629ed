// Reads whole checkpoints and compares everything in them with what was written.
#pragma once
#include <functional>
#include <string>

namespace moe {

// What a checkpoint that was found good consists of.
struct VerifiedCheckpoint {
  size_t tensors = 0;
  double bytes = 0;
  bool has_hashes = false;  // false for one of version 0.1, of which only sizes and headers can be checked
};

// Throws DamagedCheckpoint, and CheckpointError for files that cannot be read.
VerifiedCheckpoint verify_checkpoint(const std::string& path);

// Verifies all checkpoints of a run, or the one checkpoint that the path names, and passes one line for each to
// `print`. Returns whether all are good. Throws CheckpointError when there is none.
bool verify_run(const std::string& run_or_checkpoint, const std::function<void(const std::string& line)>& print);

}  // namespace moe
