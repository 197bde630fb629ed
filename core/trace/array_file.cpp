#include "core/trace/array_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/content_hash.h"

namespace moe {

namespace {

struct TypeFacts {
  ArrayType type;
  const char* name;  // in the file
  size_t bytes;
};
constexpr TypeFacts kTypes[] = {{ArrayType::u8, "U8", 1},
                                {ArrayType::u16, "U16", 2},
                                {ArrayType::i32, "I32", 4},
                                {ArrayType::i64, "I64", 8},
                                {ArrayType::f32, "F32", 4}};
constexpr const char* kHashes = "xxh64";
constexpr int64_t kMostElements = int64_t{1} << 48;

const TypeFacts& facts_of(ArrayType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeFacts& f) { return f.type == type; });
}

int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(elements, dim, &elements) || elements > kMostElements) return -1;
  }
  return elements;
}

std::string hash_of(const std::string& bytes) {
  ContentHash hash;
  hash.update(bytes.data(), std::ssize(bytes));
  return format_hash(hash.value());
}

// Calls use(a zero of the element type).
template <class Use>
auto with_element(ArrayType type, Use use) {
  switch (type) {
    case ArrayType::u8:
      return use(uint8_t{});
    case ArrayType::u16:
      return use(uint16_t{});
    case ArrayType::i32:
      return use(int32_t{});
    case ArrayType::i64:
      return use(int64_t{});
    case ArrayType::f32:
      return use(float{});
  }
  throw InternalError("an array of an unknown type");
}

template <class From>
std::string bytes_of(ArrayType type, std::span<const From> values) {
  return with_element(type, [&]<class To>(To) {
    std::string bytes(values.size() * sizeof(To), '\0');
    for (size_t i = 0; i < values.size(); ++i) {
      const To value = static_cast<To>(values[i]);
      MOE_CHECK(static_cast<From>(value) == values[i] || std::is_floating_point_v<To>, "{} as an element of {}",
                values[i], facts_of(type).name);
      std::memcpy(bytes.data() + i * sizeof(To), &value, sizeof(To));
    }
    return bytes;
  });
}

void check_size(const std::string& name, const std::vector<int64_t>& shape, size_t values) {
  MOE_CHECK(elements_of(shape) == static_cast<int64_t>(values), "{} values for {}, which has {}", values, name,
            elements_of(shape));
}

}  // namespace

void ArrayWriter::add(const std::string& name, ArrayType type, const std::vector<int64_t>& shape,
                      std::span<const int64_t> values) {
  check_size(name, shape, values.size());
  entries_.push_back({name, type, shape, bytes_of(type, values)});
}

void ArrayWriter::add(const std::string& name, ArrayType type, const std::vector<int64_t>& shape,
                      std::span<const int32_t> values) {
  check_size(name, shape, values.size());
  entries_.push_back({name, type, shape, bytes_of(type, values)});
}

void ArrayWriter::add(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values) {
  check_size(name, shape, values.size());
  entries_.push_back({name, ArrayType::f32, shape, bytes_of(ArrayType::f32, values)});
}

std::string ArrayWriter::content(const std::map<std::string, std::string>& metadata) const {
  Json hashes = Json::object(), described = Json::object(), header;
  for (const Entry& e : entries_) hashes[e.name] = hash_of(e.bytes);
  for (const auto& [key, text] : metadata) described[key] = text;
  described[kHashes] = json_text(hashes);
  header["__metadata__"] = described;
  size_t offset = 0, total = 0;
  for (const Entry& e : entries_) {
    header[e.name] = {
        {"dtype", facts_of(e.type).name}, {"shape", e.shape}, {"data_offsets", {offset, offset + e.bytes.size()}}};
    offset += e.bytes.size();
  }
  total = offset;
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file.reserve(file.size() + text.size() + total);
  file += text;
  for (const Entry& e : entries_) file += e.bytes;
  return file;
}

ArrayFile::ArrayFile(const std::string& path) : path_(path), file_(path, std::ios::binary) {
  if (!file_) raise<DataError>("cannot open {}: {}", path, std::strerror(errno));
  try {
    read_header();
  } catch (const std::exception& error) {
    raise<DataError>("{} is damaged: {}", path, error.what());
  }
}

// Throws any exception for a damaged header.
void ArrayFile::read_header() {
  file_.seekg(0, std::ios::end);
  const auto file_bytes = static_cast<uint64_t>(std::max<std::streamoff>(file_.tellg(), 0));
  file_.seekg(0);
  uint64_t length = 0;
  if (file_bytes < sizeof length) throw std::runtime_error("it is too short for a header");
  file_.read(reinterpret_cast<char*>(&length), sizeof length);
  if (length > file_bytes - sizeof length)
    throw std::runtime_error(fmt::format("the header claims {} bytes, the file has {}", length, file_bytes));
  std::string text(length, '\0');
  file_.read(text.data(), static_cast<std::streamsize>(length));
  if (!file_) throw std::runtime_error("its header cannot be read");
  const size_t data = sizeof length + length;
  const Json header = parse_json(text);
  for (const auto& [name, described] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : described.items()) metadata_[key] = value.template get<std::string>();
      continue;
    }
    const auto dtype = described.at("dtype").template get<std::string>();
    const auto offsets = described.at("data_offsets").template get<std::vector<size_t>>();
    const auto* type =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeFacts& f) { return dtype == f.name; });
    if (type == std::end(kTypes)) throw std::runtime_error(name + " has the unknown dtype " + dtype);
    Entry e{type->type, described.at("shape").template get<std::vector<int64_t>>(), 0, 0};
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > file_bytes - data || elements_of(e.shape) < 0 ||
        offsets[1] - offsets[0] != static_cast<size_t>(elements_of(e.shape)) * type->bytes) {
      throw std::runtime_error(name + " does not lie in the file as it is described");
    }
    e.begin = data + offsets[0];
    e.bytes = offsets[1] - offsets[0];
    entries_.emplace(name, std::move(e));
  }
  const Json hashes = parse_json(metadata_.count(kHashes) ? metadata_.at(kHashes) : "{}");
  for (const auto& [name, hash] : hashes.items()) hashes_[name] = hash.template get<std::string>();
}

const ArrayFile::Entry& ArrayFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) raise<DataError>("{} has no array {}", path_, name);
  return found->second;
}

const std::vector<int64_t>& ArrayFile::shape(const std::string& name) const {
  return entry(name).shape;
}

std::string ArrayFile::read(const std::string& name, const Entry& entry) const {
  std::string bytes(entry.bytes, '\0');
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(entry.begin));
  file_.read(bytes.data(), static_cast<std::streamsize>(entry.bytes));
  if (!file_) raise<DataError>("cannot read {} of {}", name, path_);
  const auto hash = hashes_.find(name);
  if (hash != hashes_.end() && hash->second != hash_of(bytes))
    raise<DataError>("{} is damaged: the content of {} is not what was written", path_, name);
  return bytes;
}

template <class T>
std::vector<T> ArrayFile::converted(const std::string& name, bool allows_long) const {
  const Entry& e = entry(name);
  const bool is_real = e.type == ArrayType::f32;
  if (is_real != std::is_floating_point_v<T> || (e.type == ArrayType::i64 && !allows_long))
    raise<DataError>("{}: {} has the dtype {}, which is not expected there", path_, name, facts_of(e.type).name);
  const std::string bytes = read(name, e);
  return with_element(e.type, [&]<class From>(From value) {
    std::vector<T> result(bytes.size() / sizeof(From));
    for (size_t i = 0; i < result.size(); ++i) {
      std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
      result[i] = static_cast<T>(value);
    }
    return result;
  });
}

std::vector<int32_t> ArrayFile::integers(const std::string& name) const {
  return converted<int32_t>(name, false);
}
std::vector<int64_t> ArrayFile::long_integers(const std::string& name) const {
  return converted<int64_t>(name, true);
}
std::vector<float> ArrayFile::floats(const std::string& name) const {
  return converted<float>(name, false);
}

}  // namespace moe
