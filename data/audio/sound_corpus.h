// Labelled sounds as spectrograms, with their splits: train, validation and test.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/integer.h"
#include "core/base/table.h"
#include "core/config/train_config.h"
#include "data/audio/sound_folders.h"
#include "data/class_counts.h"

namespace moe {

// An entry of the table of formats; data.labelled.format selects it by name.
struct SoundFormat {
  const char* name;
  bool (*is_in)(const std::string& folder);
  SoundFolders (*read)(const std::string& folder);  // throws DataError
};
const Table<SoundFormat>& sound_formats();

struct SpectrogramShape {
  int64_t frames = 0, bands = 0;
  int64_t values() const { return frames * bands; }
  bool operator==(const SpectrogramShape&) const = default;
};

class SoundSplit {
 public:
  SoundSplit(std::string name, SpectrogramShape shape) : name_(std::move(name)), shape_(shape) {}
  // Computes the spectrograms of files below `folder`, on all threads. Throws DataError for the first file that cannot
  // be read or that is shorter than a window of the spectrogram.
  void read(const std::string& folder, const std::vector<SoundName>& files, const AudioConfig& config);
  // Adds a sound. `hash`: identifies its samples.
  void add(std::span<const uint8_t> values, int32_t label, uint64_t hash);

  const std::string& name() const { return name_; }
  const SpectrogramShape& shape() const { return shape_; }
  int64_t size() const { return std::ssize(labels_); }
  // (frames, bands), see Spectrogram::bytes
  std::span<const uint8_t> values(int64_t i) const {
    return std::span(values_).subspan(as_index(i * shape_.values()), as_index(shape_.values()));
  }
  int32_t label(int64_t i) const { return labels_[as_index(i)]; }
  // XXH64 of the sounds' samples, as they are stored in the files, and labels in order. The last bit of a spectrogram
  // may depend on the processor, so it is none of its values.
  uint64_t content_hash() const;
  int64_t memory_bytes() const { return std::ssize(values_) + size() * static_cast<int64_t>(sizeof(int32_t) + 8); }

 private:
  std::string name_;
  SpectrogramShape shape_;
  std::vector<uint8_t> values_;
  std::vector<int32_t> labels_;
  std::vector<uint64_t> hashes_;
};

class SoundCorpus {
 public:
  // Reads the folder config.location(). Without a list of validation files, config.labelled.validation of the others
  // are drawn by split_seed. Throws DataError for faults in its files, UsageError for settings that give no
  // spectrogram or leave nothing to train on.
  static SoundCorpus open(const DataConfig& config);

  const std::string& name() const { return name_; }
  const SpectrogramShape& shape() const { return splits_[0].shape(); }
  const std::vector<std::string>& classes() const { return classes_.names; }
  // Of the training split.
  const ClassCounts& class_counts() const { return classes_; }
  bool has_split(std::string_view name) const;
  const SoundSplit& split(std::string_view name) const;  // throws DataError that lists the existing splits
  const std::vector<SoundSplit>& splits() const { return splits_; }
  int64_t memory_bytes() const;

 private:
  std::string name_;
  ClassCounts classes_;
  std::vector<SoundSplit> splits_;
};

}  // namespace moe
