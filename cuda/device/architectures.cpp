#include "cuda/device/architectures.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace moe::cuda {

namespace {

struct Architecture {
  int capability = 0;  // 0 for a word
  bool code = true, ptx = true, alone = false;
};

std::vector<Architecture> parse(const std::string& list) {
  std::vector<Architecture> result;
  std::string lines = list;
  std::replace_if(
      lines.begin(), lines.end(), [](char c) { return c == ';' || c == ','; }, '\n');
  std::istringstream parts(lines);
  for (std::string part; std::getline(parts, part);) {
    Architecture a;
    const size_t digits = std::min(part.find_first_not_of("0123456789"), part.size());
    const std::string rest = part.substr(digits);
    if (digits > 0) a.capability = std::atoi(part.c_str());
    a.alone = rest.starts_with("a") && digits > 0;
    a.code = !rest.ends_with("-virtual");
    a.ptx = !rest.ends_with("-real");
    result.push_back(a);
  }
  return result;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " and ") + names[i];
  }
  return text;
}

}  // namespace

bool runs_on(const std::string& architectures, int capability) {
  const auto list = parse(architectures);
  return std::any_of(list.begin(), list.end(), [&](const Architecture& a) {
    if (a.capability == 0) return true;
    if (a.alone) return a.capability == capability;
    return a.capability <= capability && (a.ptx || a.capability / 10 == capability / 10);
  });
}

std::string capability_name(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

std::string describe_architectures(const std::string& architectures) {
  std::vector<std::string> code, ptx;
  for (const Architecture& a : parse(architectures)) {
    if (a.capability == 0) return architectures;
    const std::string name = capability_name(a.capability);
    if (a.code) code.push_back(a.alone ? name : fmt::format("{} and newer {}.x", name, a.capability / 10));
    if (a.ptx) ptx.push_back(a.alone ? name : name + " and newer devices");
  }
  std::string text = code.empty() ? "" : "machine code for " + listed(code);
  if (!ptx.empty()) text += (text.empty() ? "PTX for " : ", PTX for ") + listed(ptx);
  return text;
}

}  // namespace moe::cuda
