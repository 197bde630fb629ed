// Files of named tensors in the safetensors format: 8 bytes of little-endian length, a JSON header, raw data. Any
// reader of that format opens them. The header's __metadata__, which other readers ignore, has an entry "xxh64": the
// content hash of every tensor, as a JSON object in a string. Files of version 0.1 have none.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/nn/parameter.h"

namespace moe {

// Writes `path`, synced to disk; tensors may be on the device. bf16 is converted to f32, so that a
// checkpoint does not depend on the backend. Throws CheckpointError with the system's reason (a full disk, ...).
void write_tensor_file(const std::string& path, const std::vector<NamedTensor>& tensors);

// A tensor of f32 whose values are made when it is its turn to be written.
struct StreamedTensor {
  std::string name;
  Shape shape;
  std::function<std::vector<float>()> values;
};
// The same for tensors of which only one is in memory at a time.
void write_tensor_file(const std::string& path, const std::vector<StreamedTensor>& tensors);

// Copies `from` (f32 or f64, on the host, same shape) to `into`, which may be on the device. f32 is rounded for a bf16
// `into`.
void write_tensor(Tensor into, ConstTensor from);

// A file mapped into memory. The constructor throws DamagedCheckpoint, which names the file, for a file that is absent
// or whose header is wrong, and CheckpointError for one that cannot be read.
class TensorFile {
 public:
  explicit TensorFile(const std::string& path);
  TensorFile(TensorFile&& other) noexcept;
  TensorFile& operator=(TensorFile&&) = delete;
  ~TensorFile();

  const std::string& path() const { return path_; }
  const std::map<std::string, ConstTensor>& tensors() const { return tensors_; }
  size_t bytes() const { return bytes_; }
  bool has_hashes() const { return !hashes_.empty(); }
  // Throws DamagedCheckpoint if the tensor's content is not what was written. Does nothing for a file without hashes.
  void verify(const std::string& tensor) const;

 private:
  void read_header();

  std::string path_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::map<std::string, ConstTensor> tensors_;
  std::map<std::string, std::string> hashes_;
};

// The hash of a tensor file's header, which identifies the file, because the header holds the tensors' hashes; in 16
// hexadecimal digits. Throws as the constructor of TensorFile does.
std::string header_hash(const std::string& path);

// The tensors of all files in a folder whose names begin with `prefix` and end with .safetensors. There is one file for
// each rank that held experts when they were written.
class TensorFolder {
 public:
  TensorFolder(const std::string& folder, const std::string& prefix);

  bool contains(const std::string& name) const { return tensors_.count(name) > 0; }
  // Copies a tensor to `into`, which may be on the device; f32 is rounded for a bf16 `into`. Throws as at() does, and
  // for another shape or another dtype.
  void read(const std::string& name, Tensor into) const;
  // The tensor, whose content is verified when it is first asked for. Throws DamagedCheckpoint for an absent name or a
  // wrong hash.
  ConstTensor at(const std::string& name) const;
  // All tensors, not verified.
  const std::map<std::string, ConstTensor>& tensors() const { return tensors_; }

 private:
  std::string folder_;
  std::vector<TensorFile> files_;
  std::map<std::string, ConstTensor> tensors_;
  std::map<std::string, size_t> file_of_;  // index of a tensor's file
  mutable std::set<std::string> verified_;
};

}  // namespace moe
