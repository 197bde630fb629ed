// Messages for people. Everything goes to stderr (stdout belongs to results); rank 0 also writes a file when told to.
#pragma once
#include <spdlog/spdlog.h>

#include <string>

namespace moe::log {

// Call once, before the first message. Ranks other than 0 only show warnings, prefixed with their rank.
void initialise(int rank, int num_ranks);
// Adds a file that receives every message, appended.
void add_file(const std::string& path);
// Lowers the console to warnings; the file, if any, still gets everything.
void quiet_console();

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace moe::log
