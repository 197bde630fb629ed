// GGUF files (version 3 of the format of ggml and llama.cpp): metadata and tensors in one file, little-endian. A reader
// and a writer that hold one tensor at a time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/convert/foreign_tensors.h"
#include "core/convert/gguf_numbers.h"
#include "data/posix_file.h"

namespace moe {

// A value of the metadata. Integers of any width are read as int64_t and written as 32 bits without a sign (in lists:
// with one), numbers are written as f32.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

struct GgufEntry {
  std::string key;
  GgufValue value;
};

class GgufFile {
 public:
  // Throws CheckpointError, which names the file, for what is absent, damaged or of another version.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return file_.path(); }

  // Metadata. The value under a key, or `otherwise` where there is none. Throw CheckpointError for a value of another
  // type, and without `otherwise` for an absent key. A list of integers that are all equal is read as one integer,
  // because some keys may have a value for each layer.
  bool has(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  int64_t integer(const std::string& key, int64_t otherwise) const;
  double number(const std::string& key, double otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string word(const std::string& key, const std::string& otherwise) const;
  std::vector<std::string> words(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  // Keys with this beginning that were never asked for.
  std::vector<std::string> unread(const std::string& beginning) const;

  // Tensors. dims() and read() throw CheckpointError for an absent tensor, read() also for a format that is not
  // GgufFormat.
  bool contains(const std::string& name) const { return tensors_.count(name) > 0; }
  std::vector<std::string> names() const;
  const Dims& dims(const std::string& name) const;  // rows first: the reverse of their order in the file
  std::vector<float> read(const std::string& name) const;

 private:
  struct Entry {
    uint32_t type = 0;
    Dims dims;
    int64_t offset = 0;  // in the file
  };
  const GgufValue* find(const std::string& key) const;
  const Entry& at(const std::string& name) const;
  [[noreturn]] void wrong(const std::string& key, const char* expected) const;

  PosixFile file_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, Entry> tensors_;
  mutable std::set<std::string> asked_;
};

// A tensor to be written. `values` is called once, when it is the tensor's turn.
struct GgufTensor {
  std::string name;
  Dims dims;  // rows first
  GgufFormat format = GgufFormat::f32;
  std::function<std::vector<float>()> values;
};

// Throws CheckpointError, also for values that f16 cannot hold. `path` is complete or absent.
void write_gguf(const std::string& path, const std::vector<GgufEntry>& metadata,
                const std::vector<GgufTensor>& tensors);

}  // namespace moe
