// Files of named arrays of numbers in the safetensors format: 8 bytes of little-endian length, a JSON header, raw data.
// Any reader of that format opens them. Checkpoints have a reader of their own (core/checkpoint/tensor_file.h), for
// tensors of the types that the model computes with; arrays here may be of small integers.
#pragma once
#include <cstdint>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace moe {

enum class ArrayType { u8, u16, i32, i64, f32 };

// Collects arrays and returns them as the content of a file.
class ArrayWriter {
 public:
  // Throws InternalError for values whose number is not that of the shape, or that the type cannot hold.
  void add(const std::string& name, ArrayType type, const std::vector<int64_t>& shape, std::span<const int64_t> values);
  void add(const std::string& name, ArrayType type, const std::vector<int64_t>& shape, std::span<const int32_t> values);
  void add(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values);
  // The whole file. `metadata`: texts of the header's __metadata__, which also gets "xxh64", the content hash of every
  // array.
  std::string content(const std::map<std::string, std::string>& metadata) const;

 private:
  struct Entry {
    std::string name;
    ArrayType type;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::vector<Entry> entries_;
};

// Reads the header of a file when it is made, and an array when it is asked for. All functions throw DataError, which
// names the file, for one that is missing or damaged, and for an array that is absent or of another type.
class ArrayFile {
 public:
  explicit ArrayFile(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  const std::vector<int64_t>& shape(const std::string& name) const;
  // The elements of an array of integers of up to 32 bits, of any integers, and of f32.
  std::vector<int32_t> integers(const std::string& name) const;
  std::vector<int64_t> long_integers(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;

 private:
  struct Entry {
    ArrayType type = ArrayType::u8;
    std::vector<int64_t> shape;
    size_t begin = 0, bytes = 0;  // in the file
  };
  void read_header();
  const Entry& entry(const std::string& name) const;
  std::string read(const std::string& name, const Entry& entry) const;
  template <class T>
  std::vector<T> converted(const std::string& name, bool allows_long) const;

  std::string path_;
  mutable std::ifstream file_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_, hashes_;
};

}  // namespace moe
