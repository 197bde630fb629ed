#include "data/audio/sound_corpus.h"

#include <atomic>
#include <exception>
#include <filesystem>

#include "data/audio/sound_file.h"
#include "data/audio/spectrogram.h"
#include "data/chosen_classes.h"
#include "data/content_hash.h"
#include "data/find_split.h"
#include "data/held_out.h"
#include "data/labelled_format.h"

namespace moe {

namespace fs = std::filesystem;

const Table<SoundFormat>& sound_formats() {
  static const Table<SoundFormat> table{"data.labelled.format",
                                        {{"sound_folders", has_sound_folders, read_sound_folders}}};
  return table;
}

static uint64_t hash_of(const Sound& sound) {
  ContentHash hash;
  const int64_t head[] = {sound.rate, std::ssize(sound.samples)};
  hash.update(head, sizeof head);
  hash.update(sound.samples.data(), std::ssize(sound.samples) * static_cast<int64_t>(sizeof(float)));
  return hash.value();
}

void SoundSplit::add(std::span<const uint8_t> values, int32_t label, uint64_t hash) {
  MOE_CHECK(std::ssize(values) == shape_.values(), "a spectrogram of {} values; expected {}", values.size(),
            shape_.values());
  values_.insert(values_.end(), values.begin(), values.end());
  labels_.push_back(label);
  hashes_.push_back(hash);
}

void SoundSplit::read(const std::string& folder, const std::vector<SoundName>& files, const AudioConfig& config) {
  const Spectrogram spectrogram(config);
  const int64_t count = std::ssize(files);
  values_.resize(as_index(count * shape_.values()));
  labels_.resize(as_index(count));
  hashes_.resize(as_index(count));
  std::vector<std::exception_ptr> errors(as_index(count));
  std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t i = 0; i < count; ++i) {
    if (failed) continue;
    try {
      const std::string path = (fs::path(folder) / files[as_index(i)].path).string();
      const Sound sound = read_sound(path, config.seconds);
      const std::vector<float> samples = resampled(sound, config.rate, path);
      if (std::ssize(samples) < spectrogram.window()) {
        raise<DataError>("{} is too short: {:.1f} ms; expected at least a window of {} ms (data.audio.window)", path,
                         1000.0 * static_cast<double>(samples.size()) / static_cast<double>(config.rate),
                         config.window);
      }
      spectrogram.bytes(samples, std::span(values_).subspan(as_index(i * shape_.values()), as_index(shape_.values())));
      labels_[as_index(i)] = files[as_index(i)].label;
      hashes_[as_index(i)] = hash_of(sound);
    } catch (...) {
      errors[as_index(i)] = std::current_exception();
      failed = true;
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

uint64_t SoundSplit::content_hash() const {
  ContentHash hash;
  for (size_t i = 0; i < labels_.size(); ++i) {
    hash.update(&labels_[i], sizeof labels_[i]);
    hash.update(&hashes_[i], sizeof hashes_[i]);
  }
  return hash.value();
}

// Leaves only the classes in `chosen`, if there are any.
static SoundFolders with_classes(const std::string& name, SoundFolders files, const std::vector<std::string>& chosen) {
  if (chosen.empty()) return files;
  const std::vector<int32_t> numbers = chosen_numbers(name, files.classes, chosen);
  for (std::vector<SoundName>* part : {&files.train, &files.validation, &files.test}) {
    std::erase_if(*part, [&](const SoundName& file) { return numbers[as_index(file.label)] < 0; });
    for (SoundName& file : *part) file.label = numbers[as_index(file.label)];
  }
  if (files.train.empty()) raise<DataError>("{}: the classes of data.labelled.classes have no training files", name);
  files.classes = chosen;
  return files;
}

// Without a list, draws the validation files from those for training.
static void hold_out_validation(SoundFolders& files, const LabelledDataConfig& config) {
  if (files.has_validation) return;
  const HeldOut parts = hold_out(std::ssize(files.train), config.validation, config.split_seed);
  std::vector<SoundName> train;
  for (const int64_t i : parts.train) train.push_back(files.train[as_index(i)]);
  for (const int64_t i : parts.validation) files.validation.push_back(files.train[as_index(i)]);
  files.train = std::move(train);
}

SoundCorpus SoundCorpus::open(const DataConfig& config) {
  fs::path path = fs::absolute(config.location()).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  SoundCorpus corpus;
  corpus.name_ = path.filename().string();
  SoundFolders files = with_classes(
      corpus.name_, sound_formats().at(labelled_format(config).name).read(config.location()), config.labelled.classes);
  hold_out_validation(files, config.labelled);
  corpus.classes_ = {files.classes, std::vector<int64_t>(files.classes.size()), files.train[0].label};
  for (const SoundName& file : files.train) ++corpus.classes_.counts[as_index(file.label)];
  const Spectrogram spectrogram(config.audio);
  const SpectrogramShape shape{spectrogram.frames(), spectrogram.bands()};
  const auto add = [&](const char* name, const std::vector<SoundName>& members) {
    if (!members.empty()) corpus.splits_.emplace_back(name, shape).read(config.location(), members, config.audio);
  };
  add("train", files.train);
  add("validation", files.validation);
  add("test", files.test);
  return corpus;
}

bool SoundCorpus::has_split(std::string_view name) const {
  return find_split(splits_, name) != nullptr;
}

const SoundSplit& SoundCorpus::split(std::string_view name) const {
  return split_named(name_, splits_, name);
}

int64_t SoundCorpus::memory_bytes() const {
  int64_t bytes = 0;
  for (const SoundSplit& split : splits_) bytes += split.memory_bytes();
  return bytes;
}

}  // namespace moe
