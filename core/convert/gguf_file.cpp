#include "core/convert/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kVersion = 3, kOldestVersion = 2;
constexpr const char* kAlignmentKey = "general.alignment";
constexpr int64_t kAlignment = 32;

// Types of metadata, as the files number them.
enum class Type : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// Reads the head of a file in order, through a buffer.
class HeadReader {
 public:
  explicit HeadReader(const PosixFile& file) : file_(file), size_(file.size()) {}

  int64_t position() const { return position_; }
  int64_t size() const { return size_; }

  void take(void* out, int64_t bytes) {
    if (bytes > size_ - position_) raise<CheckpointError>("{} was cut off, or is no GGUF file", file_.path());
    auto* to = static_cast<char*>(out);
    while (bytes > 0) {
      if (position_ < begin_ || position_ >= begin_ + std::ssize(buffer_)) fill();
      const int64_t some = std::min(bytes, begin_ + std::ssize(buffer_) - position_);
      std::memcpy(to, buffer_.data() + (position_ - begin_), as_index(some));
      to += some, bytes -= some, position_ += some;
    }
  }
  template <class T>
  T take() {
    T value{};
    take(&value, sizeof value);
    return value;
  }
  // A number of things that each take at least `bytes`.
  int64_t count(int64_t bytes) {
    const auto n = take<uint64_t>();
    if (n > static_cast<uint64_t>((size_ - position_) / bytes))
      raise<CheckpointError>("{} is damaged: its head says {} where {} bytes follow", file_.path(), n,
                             size_ - position_);
    return static_cast<int64_t>(n);
  }
  std::string text() {
    std::string text(as_index(count(1)), ' ');
    take(text.data(), std::ssize(text));
    return text;
  }

 private:
  void fill() {
    buffer_.resize(as_index(std::min<int64_t>(1 << 16, size_ - position_)));
    begin_ = position_;
    if (file_.read_at(buffer_.data(), std::ssize(buffer_), begin_) != std::ssize(buffer_))
      raise<CheckpointError>("{} was cut off while it was read", file_.path());
  }

  const PosixFile& file_;
  int64_t size_, position_ = 0, begin_ = 0;
  std::vector<char> buffer_;
};

// Calls use(T{}) with the C++ type of a number in the metadata. Returns false for a type that is none.
template <class Use>
bool with_number(Type type, Use use) {
  switch (type) {
    case Type::u8:
      return use(uint8_t{}), true;
    case Type::i8:
      return use(int8_t{}), true;
    case Type::u16:
      return use(uint16_t{}), true;
    case Type::i16:
      return use(int16_t{}), true;
    case Type::u32:
      return use(uint32_t{}), true;
    case Type::i32:
      return use(int32_t{}), true;
    case Type::u64:
      return use(uint64_t{}), true;
    case Type::i64:
      return use(int64_t{}), true;
    case Type::f32:
      return use(float{}), true;
    case Type::f64:
      return use(double{}), true;
    default:
      return false;
  }
}

GgufValue read_list(HeadReader& in, const std::string& path) {
  const auto type = in.take<Type>();
  if (type == Type::string) {
    std::vector<std::string> list(as_index(in.count(8)));
    for (std::string& text : list) text = in.text();
    return list;
  }
  GgufValue value;
  const bool known = with_number(type == Type::boolean ? Type::u8 : type, [&]<class T>(T) {
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
    std::vector<Wide> list(as_index(in.count(sizeof(T))));
    for (Wide& x : list) x = static_cast<Wide>(in.take<T>());
    value = std::move(list);
  });
  if (!known) raise<CheckpointError>("{}: lists of lists in the metadata are not supported", path);
  return value;
}

GgufValue read_value(HeadReader& in, const std::string& path) {
  const auto type = in.take<Type>();
  if (type == Type::string) return in.text();
  if (type == Type::array) return read_list(in, path);
  if (type == Type::boolean) return in.take<uint8_t>() != 0;
  GgufValue value;
  const bool known = with_number(type, [&]<class T>(T) {
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
    value = static_cast<Wide>(in.take<T>());
  });
  if (!known)
    raise<CheckpointError>("{} is damaged: its metadata has a value of the type {}", path, static_cast<uint32_t>(type));
  return value;
}

Dims read_dims(HeadReader& in, const std::string& path, const std::string& name) {
  const auto rank = in.take<uint32_t>();
  if (rank < 1 || rank > 4) raise<CheckpointError>("{} is damaged: {} has {} dimensions", path, name, rank);
  Dims dims(rank);
  double elements = 1;
  for (int64_t& dim : dims) {
    dim = in.take<int64_t>();
    elements *= static_cast<double>(dim);
    if (dim < 1 || elements > 0x1p50)
      raise<CheckpointError>("{} is damaged: {} has a dimension of {}", path, name, dim);
  }
  std::reverse(dims.begin(), dims.end());
  return dims;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(PosixFile::open(path)) {
  HeadReader in(file_);
  if (in.take<uint32_t>() != kMagic) raise<CheckpointError>("{} is no GGUF file", path);
  if (const auto version = in.take<uint32_t>(); version < kOldestVersion || version > kVersion)
    raise<CheckpointError>("{} has version {} of GGUF; {} and {} can be read", path, version, kOldestVersion, kVersion);
  const int64_t num_tensors = in.count(1), num_entries = in.count(1);
  for (int64_t i = 0; i < num_entries; ++i) {
    const std::string key = in.text();
    metadata_[key] = read_value(in, path);
  }
  for (int64_t i = 0; i < num_tensors; ++i) {
    const std::string name = in.text();
    Entry entry;
    entry.dims = read_dims(in, path, name);
    entry.type = in.take<uint32_t>();
    entry.offset = in.take<int64_t>();
    if (!tensors_.emplace(name, std::move(entry)).second) raise<CheckpointError>("{} holds {} twice", path, name);
  }
  const int64_t alignment = integer(kAlignmentKey, kAlignment);
  if (alignment < 1 || alignment > 1 << 20) raise<CheckpointError>("{}: {} is {}", path, kAlignmentKey, alignment);
  const int64_t content = round_up(in.position(), alignment);
  for (auto& [name, entry] : tensors_) {
    if (entry.offset < 0 || entry.offset > in.size() - content)
      raise<CheckpointError>("{} is damaged: {} lies outside of the file", path, name);
    entry.offset += content;
  }
}

const GgufValue* GgufFile::find(const std::string& key) const {
  asked_.insert(key);
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

void GgufFile::wrong(const std::string& key, const char* expected) const {
  raise<CheckpointError>("{}: {} is no {}", path(), key, expected);
}

bool GgufFile::has(const std::string& key) const {
  return find(key) != nullptr;
}

int64_t GgufFile::integer(const std::string& key, int64_t otherwise) const {
  const GgufValue* value = find(key);
  if (!value) return otherwise;
  if (const auto* number = std::get_if<int64_t>(value)) return *number;
  const auto* list = std::get_if<std::vector<int64_t>>(value);
  if (!list || list->empty()) wrong(key, "integer");
  if (std::any_of(list->begin(), list->end(), [&](int64_t x) { return x != list->front(); }))
    raise<CheckpointError>("{}: {} differs between layers, which is not supported", path(), key);
  return list->front();
}
int64_t GgufFile::integer(const std::string& key) const {
  if (!has(key)) raise<CheckpointError>("{} has no {}", path(), key);
  return integer(key, 0);
}

double GgufFile::number(const std::string& key, double otherwise) const {
  const GgufValue* value = find(key);
  if (!value) return otherwise;
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* whole = std::get_if<int64_t>(value)) return static_cast<double>(*whole);
  wrong(key, "number");
}

bool GgufFile::flag(const std::string& key, bool otherwise) const {
  const GgufValue* value = find(key);
  if (!value) return otherwise;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  wrong(key, "boolean");
}

std::string GgufFile::word(const std::string& key, const std::string& otherwise) const {
  const GgufValue* value = find(key);
  if (!value) return otherwise;
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  wrong(key, "text");
}

std::vector<std::string> GgufFile::words(const std::string& key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (const auto* list = std::get_if<std::vector<std::string>>(value)) return *list;
  if (const auto* none = std::get_if<std::vector<int64_t>>(value); none && none->empty()) return {};
  wrong(key, "list of texts");
}

std::vector<int64_t> GgufFile::integers(const std::string& key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (const auto* list = std::get_if<std::vector<int64_t>>(value)) return *list;
  wrong(key, "list of integers");
}

std::vector<std::string> GgufFile::unread(const std::string& beginning) const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : metadata_) {
    if (key.starts_with(beginning) && asked_.count(key) == 0) keys.push_back(key);
  }
  return keys;
}

std::vector<std::string> GgufFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

const GgufFile::Entry& GgufFile::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) raise<CheckpointError>("{} holds no tensor {}", path(), name);
  return found->second;
}

const Dims& GgufFile::dims(const std::string& name) const {
  return at(name).dims;
}

std::vector<float> GgufFile::read(const std::string& name) const {
  const Entry& entry = at(name);
  if (!is_gguf_format(entry.type)) {
    raise<CheckpointError>("{}: {} has the type {}; F32, F16, BF16 and Q8_0 can be read", path(), name,
                           name_of_gguf_type(entry.type));
  }
  const auto format = static_cast<GgufFormat>(entry.type);
  if (format == GgufFormat::q8_0 && entry.dims.back() % kGgufBlock != 0)
    raise<CheckpointError>("{} is damaged: {} has rows of {} numbers in blocks of {}", path(), name, entry.dims.back(),
                           kGgufBlock);
  const int64_t count = elements(entry.dims), bytes = gguf_bytes(format, count);
  if (bytes > file_.size() - entry.offset) raise<CheckpointError>("{} was cut off: {} is incomplete", path(), name);
  std::vector<char> content(as_index(bytes));
  if (file_.read_at(content.data(), bytes, entry.offset) != bytes)
    raise<CheckpointError>("{} was cut off while it was read", path());
  std::vector<float> values(as_index(count));
  decode_gguf(content.data(), format, values);
  return values;
}

}  // namespace moe
