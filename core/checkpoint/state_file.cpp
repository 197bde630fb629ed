#include "core/checkpoint/state_file.h"

#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "data/content_hash.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr const char* kBytes = "file_bytes";
static constexpr const char* kHashes = "file_hashes";
static constexpr const char* kOwnHash = "xxh64";
// The file's own hash is that of the text with zeros in its place.
static constexpr const char* kBlank = "0000000000000000";
static constexpr const char* kBeforeHash = "\"xxh64\": \"";

std::string hash_of_content(const std::string& path) {
  ContentHash hash;
  read_blocks(path, [&](const void* data, size_t bytes) { hash.update(data, static_cast<int64_t>(bytes)); });
  return format_hash(hash.value());
}

static std::string hash_of_file(const std::string& path) {
  return fs::path(path).extension() == ".safetensors" ? header_hash(path) : hash_of_content(path);
}

void add_file_hashes(Json& state, const std::string& folder) {
  std::error_code error;
  fs::directory_iterator list(folder, error);
  state[kBytes] = Json::object();
  state[kHashes] = Json::object();
  for (; !error && list != fs::directory_iterator(); list.increment(error)) {
    const std::string name = list->path().filename().string();
    const auto bytes = fs::file_size(list->path(), error);
    if (error) break;
    state[kBytes][name] = bytes;
    state[kHashes][name] = hash_of_file(list->path().string());
  }
  if (error) raise<CheckpointError>("cannot list the folder {}: {}", folder, error.message());
}

std::string with_own_hash(Json state) {
  state.erase(kOwnHash);
  state[kOwnHash] = kBlank;
  std::string text = json_text(state, 2) + "\n";
  const size_t place = text.rfind(kBeforeHash);
  MOE_CHECK(place != std::string::npos, "a state without a place for its hash");
  return text.replace(place + std::string_view(kBeforeHash).size(), std::string_view(kBlank).size(),
                      hash_of_text(text));
}

// Throws DamagedCheckpoint for a text with another hash than its own. A text without one is of an earlier version.
static void check_own_hash(std::string text, const std::string& file) {
  const size_t found = text.rfind(kBeforeHash), digits = std::string_view(kBlank).size();
  if (found == std::string::npos) return;
  const size_t place = found + std::string_view(kBeforeHash).size();
  const std::string written = text.substr(place, digits);
  if (place + digits <= text.size()) text.replace(place, digits, kBlank);
  if (const std::string hash = hash_of_text(text); hash != written)
    raise<DamagedCheckpoint>("{} is damaged: its content has the hash {}, expected {}", file, hash, written);
}

Json read_checked_state(const std::string& folder) {
  const std::string file = folder + "/" + kStateFile;
  if (!file_exists(file)) raise<DamagedCheckpoint>("{} is missing", file);
  const std::string text = read_text(file);
  check_own_hash(text, file);
  try {
    Json state = parse_json(text);
    if (!state.is_object()) throw JsonError("it is no object");
    if (has_hashes(state) && !state.contains(kOwnHash)) throw JsonError("its own hash is absent");
    return state;
  } catch (const JsonError& error) {
    raise<DamagedCheckpoint>("{} is damaged: {}", file, error.what());
  }
}

bool has_hashes(const Json& state) {
  return state.contains(kHashes);
}

void check_files(const Json& state, const std::string& folder) {
  const Json sizes = state.value(kBytes, Json::object()), hashes = state.value(kHashes, Json::object());
  for (const auto& [name, bytes] : sizes.items()) {
    const std::string path = folder + "/" + name;
    if (!file_exists(path)) raise<DamagedCheckpoint>("{} is missing", path);
    std::error_code error;
    const auto found = fs::file_size(path, error);
    if (error) raise<CheckpointError>("cannot look at {}: {}", path, error.message());
    if (found != bytes)
      raise<DamagedCheckpoint>("{} is damaged: it has {} bytes, expected {}", path, found, json_text(bytes));
    const Json* hash = hashes.find(name);
    if (!hash) continue;
    if (const std::string now = hash_of_file(path); now != hash->get<std::string>()) {
      raise<DamagedCheckpoint>("{} is damaged: its {} the hash {}, expected {}", path,
                               fs::path(path).extension() == ".safetensors" ? "header has" : "content has", now,
                               hash->get<std::string>());
    }
  }
}

}  // namespace moe
