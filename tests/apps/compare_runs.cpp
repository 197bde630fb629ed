#include "tests/apps/compare_runs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "tests/support/child_process.h"

namespace moe {

// Whether the checkpoint's optimizer keeps tensors.
static bool has_states(const std::string& checkpoint) {
  return !parse_json(read_file(checkpoint + "/state.json")).at("optimizer_states").empty();
}

std::string last_checkpoint(const std::string& folder) {
  return find_checkpoint(folder + "/run", "last");
}

void forget_hashes(const std::string& checkpoint) {
  Json state = parse_json(read_file(checkpoint + "/state.json"));
  for (const char* key : {"xxh64", "file_hashes"}) state.erase(key);
  replace_text(checkpoint + "/state.json", json_text(state, 2));
}

double largest_difference(const std::string& checkpoint, const std::string& other, bool moments) {
  double worst = 0;
  for (const char* prefix : {"model", "optimizer"}) {
    if (!moments && prefix != std::string("model")) continue;
    if (prefix == std::string("optimizer") && !has_states(checkpoint) && !has_states(other)) continue;
    const TensorFolder one(checkpoint, prefix), two(other, prefix);
    if (one.tensors().size() != two.tensors().size()) return std::numeric_limits<double>::infinity();
    for (const auto& [name, tensor] : one.tensors()) {
      const ConstTensor counterpart = two.at(name);
      if (counterpart.shape != tensor.shape) return std::numeric_limits<double>::infinity();
      const float *a = tensor.as<float>(), *b = counterpart.as<float>();
      double largest = 0, difference = 0;
      for (int64_t i = 0; i < tensor.size(); ++i) {
        largest = std::max<double>(largest, std::abs(a[i]));
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (!(d <= difference)) difference = d;
      }
      if (difference != 0 && !(difference / largest <= worst)) worst = difference / largest;
    }
  }
  return worst;
}

static std::vector<Json> all_records(const std::string& run) {
  std::vector<Json> records;
  std::istringstream lines(read_file(run + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) records.push_back(parse_json(line));
  return records;
}

std::vector<Json> records_of(const std::string& run, const std::string& type) {
  std::vector<Json> records = all_records(run);
  std::erase_if(records, [&](const Json& record) { return record.at("type") != type; });
  return records;
}

std::vector<Json> comparable_metrics(const std::string& run) {
  std::vector<Json> records = all_records(run);
  std::erase_if(records, [](const Json& record) { return record.at("type") == "checkpoint"; });
  for (Json& record : records) {
    for (const char* timing : {"ms", "tokens_per_s", "seconds"}) record.erase(timing);
  }
  return records;
}

std::string metrics_difference(const std::string& run, const std::string& other) {
  const auto one = comparable_metrics(run), two = comparable_metrics(other);
  for (size_t i = 0; i < std::max(one.size(), two.size()); ++i) {
    const std::string a = i < one.size() ? json_text(one[i]) : "nothing",
                      b = i < two.size() ? json_text(two[i]) : "nothing";
    if (a != b) return "record " + std::to_string(i) + "\n" + a + "\n" + b;
  }
  return "";
}

}  // namespace moe
