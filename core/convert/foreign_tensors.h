// Tensors in other programs' safetensors files: one file or shards with an index. A reader and a writer that hold one
// tensor at a time, so that a model may be larger than memory.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/number_format.h"
#include "data/posix_file.h"

namespace moe {

// A tensor's dimensions; other programs' tensors may have more than ours.
using Dims = std::vector<int64_t>;
int64_t elements(const Dims& dims);       // the largest number where that does not hold it
std::string to_string(const Dims& dims);  // "[4, 8]"

class ForeignTensors {
 public:
  // `folder` holds model.safetensors, or shards with model.safetensors.index.json. Throws CheckpointError, which names
  // the file, for what is absent or damaged.
  explicit ForeignTensors(const std::string& folder);

  const std::string& folder() const { return folder_; }
  bool contains(const std::string& name) const { return tensors_.count(name) > 0; }
  std::vector<std::string> names() const;
  // Both throw CheckpointError for an absent tensor, read() also for a type other than F32, BF16 and F16.
  const Dims& dims(const std::string& name) const;
  std::vector<float> read(const std::string& name) const;

 private:
  struct Entry {
    size_t file = 0;
    std::string type;
    Dims dims;
    int64_t offset = 0, bytes = 0;  // in the file
  };
  void open_file(const std::string& path);
  const Entry& at(const std::string& name) const;

  std::string folder_;
  std::vector<PosixFile> files_;
  std::map<std::string, Entry> tensors_;
};

// A tensor to be written. `values` is called once, when it is the tensor's turn.
struct TensorToWrite {
  std::string name;
  Dims dims;
  NumberFormat format = NumberFormat::f32;
  std::function<std::vector<float>()> values;
};

// Writes model.safetensors, or with more than `shard_bytes` several shards of at most that size (a larger tensor has a
// shard of its own) and model.safetensors.index.json. Throws CheckpointError, also for values that f16 cannot hold.
void write_foreign_tensors(const std::string& folder, const std::vector<TensorToWrite>& tensors, int64_t shard_bytes);

}  // namespace moe
