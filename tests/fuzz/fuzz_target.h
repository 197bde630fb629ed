// What the fuzz targets share. A target is a file in tests/fuzz/targets that reads inputs by one reader of the program.
// An input may be refused with one of the project's errors, InternalError excepted. Everything else is a finding: a
// crash, a report of a sanitizer, another exception, an input that takes too much time or memory.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace moe {

struct FuzzTarget {
  using Read = void (*)(std::string_view input);
  // Inputs to begin with: small, and together using most of what the reader knows.
  using Seeds = std::vector<std::string> (*)();

  // Registers itself: a target is an object of its file.
  FuzzTarget(const char* name, Read read, Seeds seeds);

  const char* name;
  Read read;
  Seeds seeds;
};

// A folder of this process for the files that a reader wants, in memory where the system has such a place.
const std::string& scratch_folder();
// Writes a file there and returns its path. `name` may lie in folders that exist.
std::string scratch_file(const std::string& name, std::string_view content);
std::string file_content(const std::string& path);

// For readers of several files: an input holds them one after the other, with this character between them.
constexpr char kNextPart = '\x1E';
// The input's parts, `count` of them; what is absent is empty, and the last has all that remains.
std::vector<std::string_view> parts(std::string_view input, size_t count);
std::string joined(const std::vector<std::string>& parts);

// Ends the process with a report: for a target whose result is wrong.
void require(bool holds, const char* what);

}  // namespace moe
