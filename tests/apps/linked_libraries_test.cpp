// The shared libraries that each program is linked with directly. A library that is loaded costs every start, and may
// fail where the program's own code does not need it, so each new one is a decision: it is added to the table.
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

enum class Linked { always, sometimes };  // sometimes: where the compiler or the distribution wants it

struct Library {
  const char* name;  // without its version
  Linked linked;
  bool in_this_build = true;
  const char* only = nullptr;  // the only program that is linked with it
};

const Library kLibraries[] = {
    {"libc", Linked::always},
    {"libstdc++", Linked::always},
    {"libm", Linked::sometimes},
    {"libgcc_s", Linked::sometimes},
    {"ld-linux-x86-64", Linked::sometimes},
    {"ld-linux-aarch64", Linked::sometimes},
    {"libgomp", Linked::sometimes},  // GCC's OpenMP
    {"libomp", Linked::sometimes},   // clang's
    {"libmpi", Linked::always},
    {"libyaml-cpp", Linked::always},
    {"libspdlog", Linked::always},
    {"libfmt", Linked::always},
    {"libz", Linked::always},
    {"libarchive", Linked::always},
    {"libsndfile", Linked::always},
    {"libsamplerate", Linked::always},
    {"libfftw3f", Linked::always},
    {"libpcre2-8", Linked::always, MOE_HAS_PCRE2},
    {"libsentencepiece_train", Linked::always, MOE_HAS_SENTENCEPIECE},
    {"libsentencepiece", Linked::always, MOE_HAS_SENTENCEPIECE},
    {"libicui18n", Linked::always, MOE_HAS_ICU},
    {"libicuuc", Linked::always, MOE_HAS_ICU},
    {"libcudart", Linked::always, MOE_HAS_CUDA},
    {"libnccl", Linked::always, MOE_HAS_NCCL},
    {"libblas", Linked::sometimes, MOE_HAS_FAISS, "moe-retrieve"},  // FAISS itself is a static library
    {"liblapack", Linked::sometimes, MOE_HAS_FAISS, "moe-retrieve"},
    {"libopenblas", Linked::sometimes, MOE_HAS_FAISS, "moe-retrieve"},
};

// The libraries of `readelf -d`, without their versions: "(NEEDED)  Shared library: [libfmt.so.9]".
std::set<std::string> needed_by(const std::string& file) {
  std::set<std::string> names;
  std::istringstream lines(done({"/usr/bin/env", "LC_ALL=C", "readelf", "-d", file}).out);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find('['), end = line.find(".so", begin);
    if (line.find("(NEEDED)") != std::string::npos && begin != std::string::npos)
      names.insert(line.substr(begin + 1, end - begin - 1));
  }
  return names;
}

}  // namespace

TEST_CASE("a program is linked with the listed libraries and no others") {
  std::vector<const char*> programs{"moe-train", "moe-eval",     "moe-inspect", "moe-study",
                                    "moe-data",  "moe-generate", "moe-bench"};
  if (MOE_HAS_FAISS) programs.push_back("moe-retrieve");
  for (const std::string name : programs) {
    std::set<std::string> found = needed_by(program(name).front());
    CAPTURE(name, found);
    REQUIRE_FALSE(found.empty());
    for (const Library& library : kLibraries) {
      if (library.only && name != library.only) continue;
      const bool linked = found.erase(library.name) > 0;
      CAPTURE(library.name, linked);
      if (library.linked == Linked::always) CHECK(linked == library.in_this_build);
    }
    for (const char* of_sanitizers : {"libasan", "libubsan"}) found.erase(of_sanitizers);
    CHECK(found == std::set<std::string>{});  // these are not in the table
  }
}
