// Writing GGUF files (gguf_file.h).
#include <algorithm>
#include <filesystem>
#include <system_error>
#include <variant>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/checkpoint/files.h"
#include "core/convert/gguf_file.h"

namespace moe {

namespace {

constexpr char kMagicAndVersion[] = {'G', 'G', 'U', 'F', 3, 0, 0, 0};
constexpr int64_t kAlignment = 32;  // of a tensor, in bytes; the default of the format
// Types of metadata, as the files number them.
enum class Type : uint32_t { u32 = 4, i32 = 5, f32 = 6, boolean = 7, string = 8, array = 9 };

// The head of a file: metadata, and the tensors' names, dimensions and places.
class Head {
 public:
  Head(const std::vector<GgufEntry>& metadata, const std::vector<GgufTensor>& tensors) {
    bytes_.assign(std::begin(kMagicAndVersion), std::end(kMagicAndVersion));
    put(uint64_t{tensors.size()});
    put(uint64_t{metadata.size()});
    for (const GgufEntry& entry : metadata) {
      put_text(entry.key);
      std::visit([&](const auto& value) { put_value(value); }, entry.value);
    }
    int64_t offset = 0;
    for (const GgufTensor& tensor : tensors) {
      put_text(tensor.name);
      put(static_cast<uint32_t>(tensor.dims.size()));
      std::for_each(tensor.dims.rbegin(), tensor.dims.rend(), [&](int64_t dim) { put(dim); });
      put(static_cast<uint32_t>(tensor.format));
      put(offset);
      offset = round_up(offset + gguf_bytes(tensor.format, elements(tensor.dims)), kAlignment);
    }
    bytes_.resize(as_index(round_up(std::ssize(bytes_), kAlignment)));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(const std::string& text) {
    put(uint64_t{text.size()});
    bytes_ += text;
  }
  void put_value(bool x) { put(Type::boolean), put(static_cast<uint8_t>(x)); }
  void put_value(int64_t x) {
    MOE_CHECK(x >= 0 && x <= UINT32_MAX, "{} in the metadata of a GGUF file", x);
    put(Type::u32), put(static_cast<uint32_t>(x));
  }
  void put_value(double x) { put(Type::f32), put(static_cast<float>(x)); }
  void put_value(const std::string& x) { put(Type::string), put_text(x); }
  void begin_list(Type type, size_t count) { put(Type::array), put(type), put(uint64_t{count}); }
  void put_value(const std::vector<int64_t>& list) {
    begin_list(Type::i32, list.size());
    for (const int64_t x : list) put(static_cast<int32_t>(x));
  }
  void put_value(const std::vector<double>& list) {
    begin_list(Type::f32, list.size());
    for (const double x : list) put(static_cast<float>(x));
  }
  void put_value(const std::vector<std::string>& list) {
    begin_list(Type::string, list.size());
    for (const std::string& text : list) put_text(text);
  }

  std::string bytes_;
};

void write_tensor(const GgufTensor& tensor, const FileSink& sink) {
  const std::vector<float> values = tensor.values();
  MOE_CHECK(std::ssize(values) == elements(tensor.dims), "{} values for {} {}", values.size(), tensor.name,
            to_string(tensor.dims));
  require_within(tensor.name, values, largest_of(tensor.format), name_of(tensor.format));
  const int64_t bytes = gguf_bytes(tensor.format, std::ssize(values));
  std::vector<char> content(as_index(round_up(bytes, kAlignment)));
  encode_gguf(values, tensor.format, content.data());
  sink(content.data(), content.size());
}

}  // namespace

void write_gguf(const std::string& path, const std::vector<GgufEntry>& metadata,
                const std::vector<GgufTensor>& tensors) {
  const std::string temporary = path + ".tmp";
  const Head head(metadata, tensors);
  write_synced(temporary, [&](const FileSink& sink) {
    sink(head.bytes().data(), head.bytes().size());
    for (const GgufTensor& tensor : tensors) write_tensor(tensor, sink);
  });
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) raise<CheckpointError>("cannot rename {} to {}: {}", temporary, path, error.message());
  sync_folder(std::filesystem::path(path).has_parent_path() ? std::filesystem::path(path).parent_path().string() : ".");
}

}  // namespace moe
