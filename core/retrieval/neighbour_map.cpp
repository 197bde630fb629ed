#include "core/retrieval/neighbour_map.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/new_folder.h"
#include "data/content_hash.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr const char* kHeader = "neighbours.json";
static constexpr const char* kFormat = "moe-train neighbours 1";

bool may_precede(const NeighbourFacts& f, int64_t place, int64_t query) {
  // The query begins at query * chunk; a window after it begins less than two chunks later.
  return place + f.length <= query * f.chunk || place >= (query + 2) * f.chunk - 1 + f.window;
}

int64_t most_ruled_out(const NeighbourFacts& f) {
  return (f.length + 2 * f.chunk + f.window) / f.chunk + 2;
}

void read_chunks(TrainingState& state, const ProcessGroups& groups, Communicator& world, const EvaluationSet& set,
                 KeyKind kind, int64_t sequences, int64_t chunk, const ChunkVisitor& visit) {
  std::vector<double> sum;
  std::vector<float> mean;
  int64_t read = 0;  // tokens of the text
  read_keys(state, groups, set, kind, sequences, [&](KeyedTokens& own) {
    const KeyedTokens tokens = gathered(world, std::move(own));
    for (int64_t t = 0; t < tokens.size(); ++t) {
      MOE_CHECK(tokens.positions[as_index(t)] == read + 1, "token {} is read after {}", tokens.positions[as_index(t)],
                read);
      sum.resize(as_index(tokens.width));
      for (size_t i = 0; i < sum.size(); ++i)
        sum[i] += static_cast<double>(tokens.keys[as_index(t * tokens.width) + i]);
      if (++read % chunk != 0) continue;
      mean.clear();
      for (double& x : sum) mean.push_back(static_cast<float>(x / static_cast<double>(chunk))), x = 0;
      visit(read / chunk - 1, mean);
    }
  });
}

std::vector<int32_t> nearest_chunks(const NeighbourFacts& facts, const KeyStore& chunks, const CandidateSearch& search,
                                    std::span<const float> queries, int64_t first, int64_t training_tokens,
                                    bool of_training) {
  // Chunks near the end of the text, where no whole prefix begins, are ruled out too.
  const int64_t k = most_ruled_out(facts) + (facts.length + facts.chunk - 1) / facts.chunk + 1;
  if (chunks.size() < k) {
    raise<UsageError>("a training text of {} chunks; at least {} are needed for prefixes of {} tokens", chunks.size(),
                      k, facts.length);
  }
  const NearestEntries nearest =
      nearest_entries(chunks, search, queries, k, std::min(k + kSpareCandidates, chunks.size()));
  std::vector<int32_t> result;
  for (int64_t q = 0; q < std::ssize(nearest.ids) / k; ++q) {
    const auto ids = std::span(nearest.ids).subspan(as_index(q * k), as_index(k));
    const auto found = std::find_if(ids.begin(), ids.end(), [&](int64_t id) {
      const int64_t place = id * facts.chunk;
      return id >= 0 && place + facts.length <= training_tokens &&
             (!of_training || may_precede(facts, place, first + q));
    });
    MOE_CHECK(found != ids.end(), "no chunk of {} may precede chunk {}", k, first + q);
    result.push_back(static_cast<int32_t>(*found));
  }
  return result;
}

void write_neighbours(const std::string& folder, const NeighbourFacts& facts, int64_t training_tokens,
                      const std::map<std::string, SplitNeighbours>& splits) {
  NewFolder made(folder);
  Json parts = Json::object();
  for (const auto& [name, split] : splits) {
    ContentHash hash;
    hash.update(split.nearest.data(), std::ssize(split.nearest) * static_cast<int64_t>(sizeof(int32_t)));
    write_synced(made.path() + "/" + name + ".bin",
                 [&](const FileSink& sink) { sink(split.nearest.data(), split.nearest.size() * sizeof(int32_t)); });
    parts[name] = {{"text", split.text}, {"chunks", split.nearest.size()}, {"hash", format_hash(hash.value())}};
  }
  const Json header = {{"checkpoint", facts.checkpoint},
                       {"model", facts.model},
                       {"key", facts.key},
                       {"chunk", facts.chunk},
                       {"length", facts.length},
                       {"window", facts.window},
                       {"training_tokens", training_tokens},
                       {"splits", parts}};
  write_text_synced(made.path() + "/" + kHeader, hashed_json(header, kFormat));
  made.finish();
}

// Sizes whose products fit into 64 bits.
constexpr int64_t kMostTokens = int64_t{1} << 48;

static void require_sizes(const NeighbourFacts& f, int64_t training_tokens) {
  for (const int64_t size : {f.chunk, f.length, f.window}) {
    if (size < 1 || size > kMostTokens) throw JsonError(fmt::format("a size of {} tokens", size));
  }
  if (training_tokens < f.length || training_tokens > kMostTokens)
    throw JsonError(fmt::format("prefixes of {} tokens from a text of {}", f.length, training_tokens));
}

NeighbourMap::NeighbourMap(const std::string& folder) : folder_(folder) {
  const std::string path = (fs::path(folder) / kHeader).string();
  const Json json = read_hashed_json(path, kFormat);
  try {
    hash_ = json.at("hash").get<std::string>();
    facts_.checkpoint = json.at("checkpoint"), facts_.model = json.at("model"), facts_.key = json.at("key");
    facts_.chunk = json.at("chunk"), facts_.length = json.at("length"), facts_.window = json.at("window");
    training_tokens_ = json.at("training_tokens");
    require_sizes(facts_, training_tokens_);
    for (const auto& [name, part] : json.at("splits").items()) add_split(name, part);
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}; make it again with moe-retrieve neighbours", path, error.what());
  }
}

void NeighbourMap::add_split(const std::string& name, const Json& json) {
  const int64_t chunks = json.at("chunks");
  if (chunks < 0 || chunks > kMostTokens) throw JsonError(fmt::format("{} chunks", chunks));
  MappedFile file((fs::path(folder_) / (name + ".bin")).string(), chunks * static_cast<int64_t>(sizeof(int32_t)));
  ContentHash hash;
  hash.update(file.data(), file.bytes());
  const int64_t last = (training_tokens_ - facts_.length) / facts_.chunk;  // where a whole prefix begins
  const auto* nearest = reinterpret_cast<const int32_t*>(file.data());
  const auto outside = [&](int32_t chunk) { return chunk < 0 || chunk > last; };
  if (json.at("hash") != format_hash(hash.value()) || std::any_of(nearest, nearest + chunks, outside))
    raise<CheckpointError>("{} is damaged: its content is not what was written; make it again", file.path());
  parts_.emplace(name, Part{json.at("text"), chunks, std::move(file)});
}

void NeighbourMap::require(const std::string& split, const std::string& text) const {
  const auto part = parts_.find(split);
  if (part == parts_.end()) raise<DataError>("{} has no neighbours of a split {}", folder_, split);
  if (part->second.text == text) return;
  raise<DataError>(
      "{} is of another text: its {} split has the hash {}, the data {}; make it again with moe-retrieve "
      "neighbours",
      folder_, split, part->second.text, text);
}

int64_t NeighbourMap::prefix_of(const std::string& split, int64_t start) const {
  const Part& part = parts_.at(split);
  const int64_t query = std::min(start / facts_.chunk, part.chunks) - 1;
  if (query < 0) return training_tokens_ - facts_.length;
  return int64_t{reinterpret_cast<const int32_t*>(part.file.data())[query]} * facts_.chunk;
}

}  // namespace moe
