// Files of named tensors in the safetensors format: 8 bytes of little-endian length, a JSON header, raw data. Any
// reader of that format opens them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/nn/parameter.h"

namespace moe {

// Writes `path`, synced to disk; tensors may be on the device. bf16 is converted to f32, so that a
// checkpoint does not depend on the backend. Throws CheckpointError with the system's reason (a full disk, ...).
void write_tensor_file(const std::string& path, const std::vector<NamedTensor>& tensors);

// Copies `from` (f32 or f64, on the host, same shape) to `into`, which may be on the device. f32 is rounded for a bf16
// `into`.
void write_tensor(Tensor into, ConstTensor from);

// A file mapped into memory. The constructor throws CheckpointError, which names the file, for any damage.
class TensorFile {
 public:
  explicit TensorFile(const std::string& path);
  TensorFile(TensorFile&& other) noexcept;
  TensorFile& operator=(TensorFile&&) = delete;
  ~TensorFile();

  const std::string& path() const { return path_; }
  const std::map<std::string, ConstTensor>& tensors() const { return tensors_; }

 private:
  std::string path_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::map<std::string, ConstTensor> tensors_;
};

// The tensors of all files in a folder whose names begin with `prefix` and end with .safetensors. There is one file for
// each rank that held experts when they were written.
class TensorFolder {
 public:
  TensorFolder(const std::string& folder, const std::string& prefix);

  bool contains(const std::string& name) const { return tensors_.count(name) > 0; }
  // Copies a tensor to `into`, which may be on the device; f32 is rounded for a bf16 `into`. Throws CheckpointError for
  // an absent name, another shape or another dtype.
  void read(const std::string& name, Tensor into) const;
  ConstTensor at(const std::string& name) const;
  const std::map<std::string, ConstTensor>& tensors() const { return tensors_; }

 private:
  std::string folder_;
  std::vector<TensorFile> files_;
  std::map<std::string, ConstTensor> tensors_;
};

}  // namespace moe
