#include "core/train/free_space.h"

#include <sys/statvfs.h>

#include <filesystem>
#include <system_error>

#include "core/base/units.h"

namespace moe {

namespace fs = std::filesystem;

double checkpoint_bytes(const ModelSummary& summary, const MemoryPlan& plan, DType dtype, int64_t store_bytes) {
  // A rank's optimizer keeps the states of its parameters, and their f32 values if they are bf16 themselves.
  const double parameters = static_cast<double>(plan.parameters) / static_cast<double>(size_of(dtype));
  const double per_parameter = parameters > 0 ? static_cast<double>(plan.optimizer) / parameters : 0;
  const double value = dtype == DType::bf16 && per_parameter > 0 ? 0 : static_cast<double>(sizeof(float));
  return static_cast<double>(summary.parameters) * (value + per_parameter) + static_cast<double>(store_bytes);
}

double folder_bytes(const std::string& folder) {
  double bytes = 0;
  std::error_code error;
  for (fs::directory_iterator list(folder, error); !error && list != fs::directory_iterator(); list.increment(error)) {
    const auto size = fs::file_size(list->path(), error);
    if (!error) bytes += static_cast<double>(size);
  }
  return bytes;
}

std::optional<std::string> space_notice(const std::string& folder, double bytes) {
  std::error_code error;
  fs::path existing = fs::absolute(folder, error);
  while (!existing.empty() && existing != existing.parent_path() && !fs::exists(existing, error))
    existing = existing.parent_path();
  struct statvfs disk {};
  if (::statvfs(existing.c_str(), &disk) != 0) return std::nullopt;
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  if (free >= bytes) return std::nullopt;
  return fmt::format("{} has {} of free space, and a checkpoint needs about {}: saving it will fail", folder,
                     format_bytes(free), format_bytes(bytes));
}

}  // namespace moe
