#include "core/config/input_paths.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/words.h"

namespace moe {

struct TokenizerEntry;
template <>
std::vector<std::string> words_of<TokenizerEntry>();

namespace {

namespace fs = std::filesystem;

// The folder of the file in which a key is set; nothing where it is not set in a file, or in a run's copy.
std::optional<fs::path> folder_of(const FieldSet& set, const char* field) {
  const std::string origin = set.origin(field);  // "folder/my.yaml:12"
  const std::string file = origin.substr(0, origin.rfind(':'));
  if (origin.find(':') == origin.npos || !fs::is_regular_file(file)) return std::nullopt;
  if (is_runs_copy(file)) return std::nullopt;
  return fs::path(file).parent_path();
}

std::string full_path(const fs::path& path) {
  return fs::absolute(path).lexically_normal().string();
}

struct Found {
  std::string path;  // absolute; empty: nothing is there
  bool here = false;
};

Found find(const std::string& given, const std::optional<fs::path>& folder) {
  if (names_something(given)) return {full_path(given), true};
  if (folder && names_something((*folder / given).string())) return {full_path(*folder / given), false};
  return {};
}

}  // namespace

bool names_something(const std::string& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return true;
  glob_t matches = {};
  const bool found = ::glob(path.c_str(), GLOB_NOSORT, nullptr, &matches) == 0;
  ::globfree(&matches);
  return found;
}

bool is_runs_copy(const std::string& file) {
  const fs::path folder = fs::path(file).parent_path();
  return fs::exists(folder / "checkpoints") || fs::exists(folder / "state.json");
}

void locate_inputs(TrainConfig& config) {
  DataConfig& data = config.data;
  const std::string before = data.path_absolute;
  data.path_absolute.clear();
  if (data.path != kSyntheticData) {
    const auto folder = folder_of(data, "path");
    data.path_absolute = find(data.path, folder).path;
    if (data.path_absolute.empty()) {
      std::string places = fmt::format("in {}", fs::current_path().string());
      if (folder) places = fmt::format("neither {} nor in {}, the folder of its file", places, full_path(*folder));
      if (!before.empty()) places += fmt::format("; the run of this configuration read {}", before);
      raise<DataError>("{}: {} is not there, {}; {}", data.where("path"), data.path, places,
                       config.task == "language_model"
                           ? "moe-data prepare makes a corpus from text"
                           : "it is a folder of labelled samples, in a format of data.labelled.format");
    }
  }
  data.tokenizer_absolute.clear();
  if (!data.tokenizer.empty()) data.tokenizer_absolute = find(data.tokenizer, folder_of(data, "tokenizer")).path;
  const auto complete = [](const FieldSet& set, const char* field, std::string& value) {
    if (value.empty()) return;
    if (const Found found = find(value, folder_of(set, field)); !found.here && !found.path.empty()) value = found.path;
  };
  for (std::string& corpus : data.mixture.with) {
    if (const Found found = find(corpus, folder_of(data.mixture, "with")); !found.path.empty()) corpus = found.path;
  }
  if (!data.pairs.second.empty()) {
    if (const Found found = find(data.pairs.second, folder_of(data.pairs, "second")); !found.path.empty())
      data.pairs.second = found.path;
  }
  if (!data.retrieval.neighbours.empty()) {
    if (const Found found = find(data.retrieval.neighbours, folder_of(data.retrieval, "neighbours"));
        !found.path.empty())
      data.retrieval.neighbours = found.path;
  }
  complete(data.labelled, "vocabulary", data.labelled.vocabulary);
  const std::vector<std::string> words = words_of<TokenizerEntry>();
  if (std::find(words.begin(), words.end(), data.labelled.tokenizer) == words.end())
    complete(data.labelled, "tokenizer", data.labelled.tokenizer);
  complete(config.init, "from", config.init.from);
  complete(config.curriculum, "from", config.curriculum.from);
}

void locate_again(DataConfig& data) {
  const auto again = [](std::string& absolute_path, const std::string& given) {
    if (!names_something(absolute_path) && names_something(given)) absolute_path.clear();
  };
  again(data.path_absolute, data.path);
  again(data.tokenizer_absolute, data.tokenizer);
}

}  // namespace moe
