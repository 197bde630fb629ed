#include "core/convert/foreign_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/convert/plain_model.h"

namespace moe {

namespace {

struct TypeName {
  const char* name;
  NumberFormat format;
};
constexpr TypeName kTypes[] = {{"F32", NumberFormat::f32}, {"BF16", NumberFormat::bf16}, {"F16", NumberFormat::f16}};

const char* type_name(NumberFormat format) {
  for (const TypeName& type : kTypes) {
    if (type.format == format) return type.name;
  }
  return "?";
}

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

Json read_json(const std::string& path) {
  try {
    return parse_json(read_text(path));
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", path, error.what());
  }
}

}  // namespace

int64_t elements(const Dims& dims) {
  int64_t n = 1;
  for (const int64_t dim : dims) n = size_product(n, dim);
  return n;
}

std::string to_string(const Dims& dims) {
  std::vector<std::string> parts;
  for (const int64_t dim : dims) parts.push_back(std::to_string(dim));
  return fmt::format("[{}]", join(parts, ", "));
}

ForeignTensors::ForeignTensors(const std::string& folder) : folder_(folder) {
  if (file_exists(folder + "/" + kSingle)) {
    open_file(folder + "/" + kSingle);
    return;
  }
  const std::string index = folder + "/" + kIndex;
  if (!file_exists(index)) raise<CheckpointError>("{} holds neither {} nor {}", folder, kSingle, kIndex);
  std::map<std::string, std::string> shard_of;
  try {
    const Json json = read_json(index);
    for (const auto& [name, shard] : json.at("weight_map").items()) shard_of[name] = shard.get<std::string>();
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", index, error.what());
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) {
    if (shard.find('/') != std::string::npos) raise<CheckpointError>("{}: {} is no file name", index, shard);
    shards.insert(shard);
  }
  for (const std::string& shard : shards) open_file(folder + "/" + shard);
  for (const auto& [name, shard] : shard_of) {
    if (!contains(name)) raise<CheckpointError>("{}: {} has no tensor {}", index, shard, name);
  }
}

void ForeignTensors::open_file(const std::string& path) {
  if (!file_exists(path)) raise<CheckpointError>("{} is missing", path);
  PosixFile file = PosixFile::open(path);
  const int64_t size = file.size();
  uint64_t length = 0;
  if (file.read_at(&length, sizeof length, 0) != sizeof length || length > static_cast<uint64_t>(size) - sizeof length)
    raise<CheckpointError>("{} is no safetensors file, or was cut off: it has {} bytes", path, size);
  std::string header(length, ' ');
  file.read_at(header.data(), static_cast<int64_t>(length), sizeof length);
  const int64_t content = static_cast<int64_t>(sizeof length + length);
  try {
    const Json json = parse_json(header);
    for (const auto& [name, entry] : json.items()) {
      if (name == "__metadata__") continue;
      const auto offsets = entry.at("data_offsets").get<std::array<int64_t, 2>>();
      if (offsets[0] < 0 || offsets[1] < offsets[0] || offsets[1] > size - content)
        raise<CheckpointError>("{} is damaged: {} lies outside of the file", path, name);
      Entry found{files_.size(), entry.at("dtype").get<std::string>(), entry.at("shape").get<Dims>(),
                  content + offsets[0], offsets[1] - offsets[0]};
      if (std::any_of(found.dims.begin(), found.dims.end(), [](int64_t d) { return d < 0 || d > int64_t{1} << 40; }))
        raise<CheckpointError>("{} is damaged: {} has the shape {}", path, name, to_string(found.dims));
      if (!tensors_.emplace(name, std::move(found)).second)
        raise<CheckpointError>("{}: {} occurs in two files", folder_, name);
    }
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", path, error.what());
  }
  files_.push_back(std::move(file));
}

std::vector<std::string> ForeignTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

const ForeignTensors::Entry& ForeignTensors::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) raise<CheckpointError>("{} holds no tensor {}", folder_, name);
  return found->second;
}

const Dims& ForeignTensors::dims(const std::string& name) const {
  return at(name).dims;
}

std::vector<float> ForeignTensors::read(const std::string& name) const {
  const Entry& entry = at(name);
  const auto type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& t) { return entry.type == t.name; });
  if (type == std::end(kTypes)) {
    raise<CheckpointError>("{}: {} has the type {}; F32, BF16 and F16 can be read. Convert the model to one of them",
                           files_[entry.file].path(), name, entry.type);
  }
  const int64_t count = elements(entry.dims), each = bytes_of(type->format);
  if (entry.bytes % each != 0 || count != entry.bytes / each)
    raise<CheckpointError>("{} is damaged: {} has {} bytes for the shape {}", files_[entry.file].path(), name,
                           entry.bytes, to_string(entry.dims));
  std::vector<char> content(static_cast<size_t>(entry.bytes));
  if (files_[entry.file].read_at(content.data(), entry.bytes, entry.offset) != entry.bytes)
    raise<CheckpointError>("{} was cut off while it was read", files_[entry.file].path());
  std::vector<float> values(static_cast<size_t>(count));
  decode_numbers(content.data(), type->format, values);
  return values;
}

namespace {

using Shard = std::vector<const TensorToWrite*>;

int64_t bytes_of(const TensorToWrite& tensor) {
  return elements(tensor.dims) * bytes_of(tensor.format);
}

std::vector<Shard> divide(const std::vector<TensorToWrite>& tensors, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  int64_t filled = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t bytes = bytes_of(tensor);
    if (filled > 0 && filled + bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(&tensor);
    filled += bytes;
  }
  return shards;
}

std::string header_of(const Shard& shard) {
  Json header = Json::object();
  header["__metadata__"] = {{"format", "pt"}};  // readers of transformers want it
  int64_t offset = 0;
  for (const TensorToWrite* tensor : shard) {
    const int64_t bytes = bytes_of(*tensor);
    header[tensor->name] = {{"dtype", type_name(tensor->format)},
                            {"shape", tensor->dims},
                            {"data_offsets", std::vector<int64_t>{offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

void write_shard(const std::string& path, const Shard& shard) {
  const std::string header = header_of(shard);
  write_synced(path, [&](const FileSink& sink) {
    const uint64_t length = header.size();
    sink(&length, sizeof length);
    sink(header.data(), header.size());
    std::vector<char> content;
    for (const TensorToWrite* tensor : shard) {
      const std::vector<float> values = tensor->values();
      MOE_CHECK(static_cast<int64_t>(values.size()) == elements(tensor->dims), "{} values for {} {}", values.size(),
                tensor->name, to_string(tensor->dims));
      if (tensor->format == NumberFormat::f16) require_within(tensor->name, values, kLargestHalf, "f16");
      content.resize(static_cast<size_t>(bytes_of(*tensor)));
      encode_numbers(values, tensor->format, content.data());
      sink(content.data(), content.size());
    }
  });
}

}  // namespace

void write_foreign_tensors(const std::string& folder, const std::vector<TensorToWrite>& tensors, int64_t shard_bytes) {
  const std::vector<Shard> shards = divide(tensors, shard_bytes);
  if (shards.size() == 1) return write_shard(folder + "/" + kSingle, shards.front());
  Json map = Json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(folder + "/" + file, shards[i]);
    for (const TensorToWrite* tensor : shards[i]) {
      map[tensor->name] = file;
      total += bytes_of(*tensor);
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  write_text_synced(folder + "/" + kIndex, json_text(index, 2) + "\n");
}

}  // namespace moe
