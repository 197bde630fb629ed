// Joins the targets to libFuzzer. Variables of the environment:
//
//   MOE_FUZZ_TARGET   the target that is run; without it the program prints the names of all and ends
//   MOE_FUZZ_SEEDS    a folder: the target's seeds are written there, and the program ends
//   MOE_FUZZ_SCRATCH  where the folder for readers of files is made; by default where temporary files are
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "core/base/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {
namespace fs = std::filesystem;

static std::vector<FuzzTarget*>& targets() {
  static std::vector<FuzzTarget*> all;
  return all;
}

FuzzTarget::FuzzTarget(const char* n, Read r, Seeds s) : name(n), read(r), seeds(s) {
  targets().push_back(this);
}

// The target of MOE_FUZZ_TARGET, or null.
static const FuzzTarget* chosen() {
  static const FuzzTarget* const target = [] {
    const char* name = std::getenv("MOE_FUZZ_TARGET");
    const FuzzTarget* found = nullptr;
    for (const FuzzTarget* t : targets()) {
      if (name && std::string_view(t->name) == name) found = t;
    }
    return found;
  }();
  return target;
}

static void write_file(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  require(file.good(), "a file of the target can be written");
}

const std::string& scratch_folder() {
  static const std::string folder = [] {
    const char* given = std::getenv("MOE_FUZZ_SCRATCH");
    const fs::path parent = given ? fs::path(given) : fs::temp_directory_path();
    const fs::path path = parent / ("moe_fuzz." + std::to_string(::getpid()));
    fs::create_directories(path);
    return path.string();
  }();
  return folder;
}

std::string scratch_file(const std::string& name, std::string_view content) {
  const std::string path = scratch_folder() + "/" + name;
  write_file(path, content);
  return path;
}

std::string file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string_view> parts(std::string_view input, size_t count) {
  std::vector<std::string_view> result;
  while (result.size() + 1 < count) {
    const size_t end = input.find(kNextPart);
    result.push_back(input.substr(0, end));
    input = end == input.npos ? std::string_view() : input.substr(end + 1);
  }
  result.push_back(input);
  return result;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string result;
  for (size_t i = 0; i < parts.size(); ++i) result += (i > 0 ? std::string(1, kNextPart) : "") + parts[i];
  return result;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

static void remove_scratch() {
  std::error_code ignored;
  fs::remove_all(scratch_folder(), ignored);
}

static void write_seeds(const fs::path& folder) {
  fs::create_directories(folder);
  int number = 0;
  for (const std::string& seed : chosen()->seeds()) write_file(folder / ("seed_" + std::to_string(number++)), seed);
}

}  // namespace moe

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);
  if (!moe::chosen()) {
    for (const moe::FuzzTarget* target : moe::targets()) std::puts(target->name);
    std::exit(0);
  }
  moe::scratch_folder();  // made before remove_scratch() is registered, so that its name still exists then
  std::atexit(moe::remove_scratch);
  if (const char* folder = std::getenv("MOE_FUZZ_SEEDS")) {
    moe::write_seeds(folder);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    moe::chosen()->read({reinterpret_cast<const char*>(data), size});
  } catch (const moe::InternalError&) {
    throw;  // a fault of the program
  } catch (const moe::Error&) {
  }
  return 0;
}
