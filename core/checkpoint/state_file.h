// The file state.json of a checkpoint, which lists the checkpoint's other files with their sizes and hashes and ends
// with a hash of itself. Versions before 0.2 wrote no hashes; their checkpoints are read without these checks.
#pragma once
#include <string>

#include "core/base/json.h"

namespace moe {

inline constexpr const char* kStateFile = "state.json";

// The hash of a file's content, read in blocks. Throws CheckpointError.
std::string hash_of_content(const std::string& path);

// Adds sizes and hashes of all files in the folder to a state. Of a tensor file the header alone is hashed, because it
// holds the tensors' hashes. Throws CheckpointError.
void add_file_hashes(Json& state, const std::string& folder);
// The text of state.json, with its own hash.
std::string with_own_hash(Json state);

// Reads state.json. Throws DamagedCheckpoint if it is absent, no JSON or has another hash than its own.
Json read_checked_state(const std::string& folder);
// Compares the files with what the state says of them. Throws DamagedCheckpoint, and CheckpointError for files that
// cannot be read.
void check_files(const Json& state, const std::string& folder);
// Whether the state has hashes.
bool has_hashes(const Json& state);

}  // namespace moe
