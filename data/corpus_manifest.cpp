#include "data/corpus_manifest.h"

#include <filesystem>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "data/content_hash.h"
#include "data/posix_file.h"

namespace moe {

constexpr const char* kFormat = "moe-corpus";
constexpr int kVersion = 1;

// The member of the description that has the hash of all others, as text.
constexpr const char* kHash = "xxh64";

static std::string hash_of(const Json& json) {
  return hash_of_text(json_text(json, 2));
}

bool CorpusManifest::exists_in(const std::string& folder) {
  return std::filesystem::exists(path_in(folder));
}

CorpusManifest CorpusManifest::read(const std::string& folder) {
  const std::string path = path_in(folder);
  const std::string text = read_text_file(path);
  CorpusManifest manifest;
  try {
    auto json = parse_json(text);
    if (const Json* hash = json.find(kHash)) {
      const Json recorded = *hash;
      json.erase(kHash);
      manifest.as_written = recorded == hash_of(json);
    }
    const auto format = json.at("format").get<std::string>();
    const auto version = json.at("version").get<int>();
    if (format != kFormat || version != kVersion) {
      raise<DataError>("{}: format {} version {}; expected {} version {}", path, format, version, kFormat, kVersion);
    }
    manifest.name = json.at("name").get<std::string>();
    manifest.tokenizer = json.at("tokenizer");
    manifest.vocab_size = json.at("vocab_size").get<int64_t>();
    manifest.source = json.at("source");
    if (json.contains("entropy_rate")) manifest.entropy_rate = json["entropy_rate"].get<double>();
    if (json.contains("sources")) {
      for (const auto& name : json["sources"]) manifest.sources.push_back(name.get<std::string>());
    }
    for (const auto& entry : json.at("splits")) {
      Split split;
      split.name = entry.at("name").get<std::string>();
      split.file = entry.at("file").get<std::string>();
      split.num_tokens = entry.at("tokens").get<int64_t>();
      if (entry.contains("raw_bytes")) split.raw_bytes = entry["raw_bytes"].get<int64_t>();
      split.payload_hash = entry.at("xxh64").get<std::string>();
      if (entry.contains("lengths")) {
        split.lengths_file = entry["lengths"].at("file").get<std::string>();
        split.lengths_hash = entry["lengths"].at("xxh64").get<std::string>();
      }
      if (entry.contains("unknown")) {
        const Json& unknown = entry["unknown"];
        split.unknown = {unknown.at("tokens").get<int64_t>(), unknown.at("bytes").get<int64_t>()};
        if (*split.unknown != UnknownText{}) {
          split.unknown_file = unknown.at("file").get<std::string>();
          split.unknown_hash = unknown.at("xxh64").get<std::string>();
        }
      }
      if (entry.contains("documents")) {
        split.num_documents = entry["documents"].at("count").get<int64_t>();
        split.documents_file = entry["documents"].at("file").get<std::string>();
        split.documents_hash = entry["documents"].at("xxh64").get<std::string>();
        if (const Json* seen = entry["documents"].find("in_training"))
          split.documents_in_training = seen->get<int64_t>();
      }
      if (entry.contains("scored")) {
        split.scored_file = entry["scored"].at("file").get<std::string>();
        split.scored_hash = entry["scored"].at("xxh64").get<std::string>();
      }
      manifest.splits.push_back(std::move(split));
    }
  } catch (const JsonError& error) {
    raise<DataError>("{}: not a valid corpus description: {}", path, error.what());
  }
  return manifest;
}

void CorpusManifest::write(const std::string& folder) const {
  Json json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  json["name"] = name;
  json["tokenizer"] = tokenizer;
  json["vocab_size"] = vocab_size;
  if (entropy_rate) json["entropy_rate"] = *entropy_rate;
  json["splits"] = Json::array();
  for (const Split& split : splits) {
    Json entry;
    entry["name"] = split.name;
    entry["file"] = split.file;
    entry["tokens"] = split.num_tokens;
    if (split.raw_bytes) entry["raw_bytes"] = *split.raw_bytes;
    entry["xxh64"] = split.payload_hash;
    if (!split.lengths_file.empty()) entry["lengths"] = {{"file", split.lengths_file}, {"xxh64", split.lengths_hash}};
    if (split.unknown) {
      entry["unknown"] = {{"tokens", split.unknown->tokens}, {"bytes", split.unknown->bytes}};
      if (!split.unknown_file.empty()) {
        entry["unknown"]["file"] = split.unknown_file;
        entry["unknown"]["xxh64"] = split.unknown_hash;
      }
    }
    if (!split.documents_file.empty()) {
      entry["documents"] = {
          {"file", split.documents_file}, {"count", split.num_documents}, {"xxh64", split.documents_hash}};
    }
    if (!split.scored_file.empty()) entry["scored"] = {{"file", split.scored_file}, {"xxh64", split.scored_hash}};
    if (split.documents_in_training) entry["documents"]["in_training"] = *split.documents_in_training;
    json["splits"].push_back(std::move(entry));
  }
  if (!sources.empty()) {
    json["sources"] = Json::array();
    for (const std::string& source_name : sources) json["sources"].push_back(source_name);
  }
  json["source"] = source;
  json[kHash] = hash_of(json);
  write_text_file(path_in(folder), json_text(json, 2) + "\n");
}

}  // namespace moe
