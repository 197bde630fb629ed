// A folder for each class, with WAV and FLAC files, and lists of the files of two splits: the layout of Speech Commands
// (P. Warden, arXiv 1804.03209).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

// A file of a class, by its path in the folder: "yes/0a7c2a8d_nohash_0.wav".
struct SoundName {
  std::string path;
  int32_t label = 0;
};

struct SoundFolders {
  std::vector<std::string> classes;  // the names of the folders, sorted
  // Each in the order of the hashes of the paths, so that the leading sounds of a split are of all classes.
  // `has_validation`: whether there is a list of them.
  std::vector<SoundName> train, validation, test;
  bool has_validation = false;
};

// validation_list.txt and testing_list.txt, which may be absent, name files of their splits, one a line; all others are
// for training. Folders whose name begins with "_" (Speech Commands' _background_noise_) or "." are no classes. Throws
// DataError for a list that names a file that does not exist, or a file twice, and for a training split without files.
bool has_sound_folders(const std::string& folder);
SoundFolders read_sound_folders(const std::string& folder);

}  // namespace moe
