#include "core/checkpoint/verify.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/state_file.h"
#include "core/checkpoint/tensor_file.h"

namespace moe {

namespace fs = std::filesystem;

VerifiedCheckpoint verify_checkpoint(const std::string& path) {
  VerifiedCheckpoint result;
  const RunState state = load_run_state(path);
  result.has_hashes = has_hashes(read_checked_state(path));
  // These throw when files are missing, which the state of an earlier version does not list.
  TensorFolder(path, "model");
  if (!state.optimizer_states.empty()) TensorFolder(path, "optimizer");
  std::error_code error;
  fs::directory_iterator list(path, error);
  for (; !error && list != fs::directory_iterator(); list.increment(error)) {
    const auto bytes = fs::file_size(list->path(), error);
    if (error) break;
    result.bytes += static_cast<double>(bytes);
    if (list->path().extension() != ".safetensors") continue;
    const TensorFile file(list->path().string());
    for (const auto& [name, tensor] : file.tensors()) file.verify(name);
    result.tensors += file.tensors().size();
  }
  if (error) raise<CheckpointError>("cannot list the folder {}: {}", path, error.message());
  return result;
}

// One line about a checkpoint; `good` becomes false if it is damaged.
static std::string verdict(const std::string& path, bool& good) {
  const std::string name = fs::path(path).filename().string();
  const auto bad = [&](const char* what, const std::string& why) {
    std::error_code error;
    if (fs::status(path, error).type() == fs::file_type::not_found)
      return fmt::format("{}  removed  by the run, while it was verified", name);
    good = false;
    return fmt::format("{}  {}  {}", name, what, why);
  };
  try {
    const VerifiedCheckpoint v = verify_checkpoint(path);
    return fmt::format("{}  good     {} tensors, {}{}", name, v.tensors, format_bytes(v.bytes),
                       v.has_hashes ? "" : "; it has no hashes, so only sizes and headers were checked");
  } catch (const DamagedCheckpoint& error) {
    return bad("damaged", error.what());
  } catch (const CheckpointError& error) {
    return bad("unread ", error.what());
  }
}

bool verify_run(const std::string& run_or_checkpoint, const std::function<void(const std::string& line)>& print) {
  bool good = true;
  const std::string given = (fs::path(run_or_checkpoint) / "").lexically_normal().parent_path().string();
  if (file_exists(given + "/" + kStateFile)) {
    print(verdict(find_checkpoint(given, "last"), good));
    return good;
  }
  const CheckpointFolder folder(given + "/checkpoints");
  const std::vector<int64_t> steps = folder.steps();
  const std::vector<std::string> remains = folder.remains();
  if (steps.empty() && remains.empty()) raise<CheckpointError>("{} holds no checkpoint", run_or_checkpoint);
  for (const int64_t step : steps) print(verdict(folder.path(step), good));
  for (const std::string& path : remains) {
    print(fmt::format("{}  unfinished; it is removed when the run goes on", fs::path(path).filename().string()));
  }
  return good && !steps.empty();
}

}  // namespace moe
