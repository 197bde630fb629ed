#include "data/audio/sound_folders.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "data/content_hash.h"
#include "data/input_file.h"
#include "data/lines.h"

namespace moe {

namespace fs = std::filesystem;

static bool is_sound(const fs::path& path) {
  const std::string ending = lower_case(path.extension().string());
  return ending == ".wav" || ending == ".flac";
}

static bool is_class(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  std::error_code error;
  return name[0] != '_' && name[0] != '.' && entry.is_directory(error);
}

bool has_sound_folders(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!is_class(*entry)) continue;
    std::error_code inner;
    for (fs::directory_iterator file(entry->path(), inner); !inner && file != end; file.increment(inner)) {
      if (is_sound(file->path())) return true;
    }
  }
  return false;
}

// The files of all classes, by path.
static std::map<std::string, int32_t> files_of(const std::string& folder, const std::vector<std::string>& classes) {
  std::map<std::string, int32_t> files;
  for (size_t label = 0; label < classes.size(); ++label) {
    std::error_code error;
    for (fs::directory_iterator file(fs::path(folder) / classes[label], error), end; !error && file != end;
         file.increment(error)) {
      if (is_sound(file->path()))
        files[classes[label] + "/" + file->path().filename().string()] = static_cast<int32_t>(label);
    }
    if (error) raise<DataError>("{}/{}: {}", folder, classes[label], error.message());
  }
  return files;
}

// Moves the files that a list names to `to`.
static void take_listed(const std::string& list, std::map<std::string, int32_t>& files, std::vector<SoundName>& to) {
  for_each_line(list, [&](std::string_view line, int64_t number) {
    const std::string name(trim(line));
    if (name.empty()) return;
    const auto found = files.find(name);
    if (found == files.end()) {
      refuse_line(list, number, "'{}' is not there or was named before; expected CLASS/FILE, once in the lists",
                  shown(name));
    }
    to.push_back({found->first, found->second});
    files.erase(found);
  });
}

static void order_by_hash(std::vector<SoundName>& files) {
  std::vector<std::pair<std::string, SoundName>> keyed;
  for (SoundName& file : files) keyed.emplace_back(hash_of_text(file.path), std::move(file));
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.path) < std::tie(b.first, b.second.path);
  });
  for (size_t i = 0; i < files.size(); ++i) files[i] = std::move(keyed[i].second);
}

SoundFolders read_sound_folders(const std::string& folder) {
  SoundFolders result;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_class(*entry)) result.classes.push_back(entry->path().filename().string());
  }
  if (error) raise<DataError>("{}: {}", folder, error.message());
  std::sort(result.classes.begin(), result.classes.end());
  std::map<std::string, int32_t> files = files_of(folder, result.classes);
  if (const auto list = find_input(folder, "validation_list.txt")) {
    take_listed(*list, files, result.validation);
    result.has_validation = true;
  }
  if (const auto list = find_input(folder, "testing_list.txt")) take_listed(*list, files, result.test);
  for (const auto& [path, label] : files) result.train.push_back({path, label});
  for (std::vector<SoundName>* split : {&result.train, &result.validation, &result.test}) order_by_hash(*split);
  if (result.train.empty()) raise<DataError>("{} holds no WAV or FLAC file to train on in its folders", folder);
  return result;
}

}  // namespace moe
