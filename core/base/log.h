// Log messages. All go to stderr (stdout is for results); rank 0 also writes a file if one was added.
#pragma once
#include <fmt/core.h>

#include <string>

namespace moe::log {

// Call once, before the first message. Ranks other than 0 only show warnings, prefixed with their rank.
void initialise(int rank, int num_ranks);
// Adds a file that receives every message, appended.
void add_file(const std::string& path);
// Limits the console to warnings; the file, if any, still gets all messages.
void quiet_console();

enum class Level { debug, info, warn, error };

// Formats and writes one message, as shown() in core/base/text.h shows it. spdlog's headers are included only by
// log.cpp, because every file that formats through them compiles all of fmt's formatting again.
void write(Level level, fmt::string_view format, fmt::format_args args);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, format, fmt::make_format_args(args...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, format, fmt::make_format_args(args...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warn, format, fmt::make_format_args(args...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, format, fmt::make_format_args(args...));
}

}  // namespace moe::log
