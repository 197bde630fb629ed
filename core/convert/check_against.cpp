#include "core/convert/check_against.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/checkpoint/files.h"
#include "core/convert/foreign_tensors.h"
#include "core/checkpoint/scratch_folder.h"

namespace moe {

namespace {

constexpr int kPackagesAbsent = 3;

// Arguments: the model's folder, the file of ids, the file of logits.
constexpr const char* kScript = R"(import json, sys
try:
    import torch, transformers
    from safetensors.torch import save_file
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)
folder, ids, out = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
found = {}
with torch.no_grad():
    for i, sequence in enumerate(json.load(open(ids))):
        found[f"logits.{i}"] = model(torch.tensor([sequence])).logits[0].float().contiguous()
save_file(found, out)
)";

void run_python(const std::string& python, const std::vector<std::string>& arguments) {
  std::vector<std::string> all{python, "-c", kScript};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  if (const int error = ::posix_spawnp(&child, python.c_str(), nullptr, nullptr, pointers.data(), environ); error != 0)
    raise<UsageError>("cannot start {}: {}; name a Python by --python", python, std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kPackagesAbsent)
    raise<UsageError>("{} lacks a package; it needs torch, transformers and safetensors", python);
  raise<CheckpointError>("{} could not compute the logits of {}; its message is above", python, arguments.front());
}

// log(sum(exp(x)))
double log_sum_exp(std::span<const float> x) {
  const double largest = static_cast<double>(*std::max_element(x.begin(), x.end()));
  double sum = 0;
  for (const float value : x) sum += std::exp(static_cast<double>(value) - largest);
  return largest + std::log(sum);
}

void add_position(LogitComparison& result, std::span<const float> ours, std::span<const float> theirs) {
  const double ours_total = log_sum_exp(ours), theirs_total = log_sum_exp(theirs);
  for (size_t i = 0; i < ours.size(); ++i) {
    const double a = static_cast<double>(ours[i]), b = static_cast<double>(theirs[i]), difference = std::abs(a - b);
    result.largest_difference = std::max(result.largest_difference, difference);
    result.mean_difference += difference / static_cast<double>(ours.size());
    result.largest_logit = std::max(result.largest_logit, std::abs(b));
    result.divergence += std::exp(a - ours_total) * ((a - ours_total) - (b - theirs_total));
  }
  const auto best = [](std::span<const float> x) { return std::max_element(x.begin(), x.end()) - x.begin(); };
  result.same_best += best(ours) == best(theirs) ? 1 : 0;
  ++result.positions;
}

}  // namespace

TokenSequences random_sequences(int64_t vocab, int64_t sequences, int64_t time, uint64_t seed) {
  const RandomKey key{seed, RandomPurpose::generation, 0, 0};
  TokenSequences result(as_index(sequences), std::vector<int32_t>(as_index(time)));
  uint64_t n = 0;
  for (auto& sequence : result) {
    for (int32_t& id : sequence)
      id = static_cast<int32_t>(static_cast<double>(key.uniform(n++)) * static_cast<double>(vocab));
  }
  return result;
}

LogitComparison compare_logits(LoadedRun& run, const TokenSequences& sequences, const std::string& theirs,
                               const std::string& python) {
  const ScratchFolder scratch((std::filesystem::temp_directory_path() / "moe-convert").string());
  const std::string& folder = scratch.path();
  Json ids = Json::array();
  for (const auto& sequence : sequences) ids.push_back(sequence);
  replace_text(folder + "/ids.json", json_text(ids));
  run_python(python, {theirs, folder + "/ids.json", folder + "/model.safetensors"});
  const ForeignTensors found(folder);
  const auto vocab = static_cast<size_t>(run.state->model->head().classes());
  LogitComparison result;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const std::vector<float> a = logits_of(run, sequences[s]), b = found.read(fmt::format("logits.{}", s));
    if (a.size() != b.size())
      raise<CheckpointError>("{} has {} logits for {} tokens, ours {}", theirs, b.size(), sequences[s].size(),
                             a.size());
    for (size_t row = 0; row < sequences[s].size(); ++row) {
      add_position(result, std::span(a).subspan(row * vocab, vocab), std::span(b).subspan(row * vocab, vocab));
    }
  }
  const auto n = static_cast<double>(result.positions);
  result.mean_difference /= n;
  result.divergence /= n;
  result.same_best /= n;
  return result;
}

}  // namespace moe
