// For each chunk of a corpus the place of the training text that is most like it: a folder that moe-retrieve neighbours
// makes, and that training with data.retrieval reads. docs/retrieval.md describes the files.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/retrieval/key_store.h"
#include "core/retrieval/nearest.h"

namespace moe {

struct NeighbourFacts {
  std::string checkpoint{}, model{};  // that computed the keys, and the hash of its weights
  std::string key{};                  // their kind
  int64_t chunk = 0;                  // tokens of a chunk
  int64_t length = 0;                 // tokens of a prefix
  int64_t window = 0;                 // tokens after a chunk's successor with which its prefix does not overlap
};

// Whether the prefix that begins at `place` of the training text may stand before any window that begins in the chunk
// after chunk `query` of that text, for which it must have no token in common with the query or the window.
bool may_precede(const NeighbourFacts& facts, int64_t place, int64_t query);
// The number of chunks of the training text that may_precede() rules out for a query, at most.
int64_t most_ruled_out(const NeighbourFacts& facts);

// The complete chunks of a split; the last token belongs to none.
inline int64_t chunks_of(int64_t tokens, int64_t chunk) {
  return tokens > 0 ? (tokens - 1) / chunk : 0;
}

// Collective. Calls visit(chunk's number, its vector) on rank 0 for each complete chunk of a text that is evaluated
// from its beginning: the mean of the keys that were computed when its tokens had been read.
using ChunkVisitor = std::function<void(int64_t chunk, std::span<const float> vector)>;
void read_chunks(TrainingState& state, const ProcessGroups& groups, Communicator& world, const EvaluationSet& set,
                 KeyKind kind, int64_t sequences, int64_t chunk, const ChunkVisitor& visit);

// For each query vector, of the chunks first, first + 1, ... of a split, the nearest chunk of the training text whose
// prefix lies in it and, with `of_training`, may precede. Throws UsageError for a text that is too short.
std::vector<int32_t> nearest_chunks(const NeighbourFacts& facts, const KeyStore& chunks, const CandidateSearch& search,
                                    std::span<const float> queries, int64_t first, int64_t training_tokens,
                                    bool of_training);

// A split with the chunk of the training text for each of its chunks.
struct SplitNeighbours {
  std::string text;              // content hash of the split
  std::vector<int32_t> nearest;  // by chunk
};
// Writes the folder. Throws CheckpointError.
void write_neighbours(const std::string& folder, const NeighbourFacts& facts, int64_t training_tokens,
                      const std::map<std::string, SplitNeighbours>& splits);

class NeighbourMap {
 public:
  // Throws CheckpointError for a folder that is missing or damaged.
  explicit NeighbourMap(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const NeighbourFacts& facts() const { return facts_; }
  const std::string& hash() const { return hash_; }  // identifies the content
  // Throws DataError unless the split of this name has this content hash.
  void require(const std::string& split, const std::string& text) const;
  // The place in the training text of the prefix of a window of a split that begins at `start`. Its query is the last
  // complete chunk before the window; a window without one gets the end of the training text.
  int64_t prefix_of(const std::string& split, int64_t start) const;

 private:
  struct Part {
    std::string text;
    int64_t chunks;
    MappedFile file;
  };

  void add_split(const std::string& name, const Json& json);

  std::string folder_, hash_;
  NeighbourFacts facts_;
  int64_t training_tokens_ = 0;
  std::map<std::string, Part> parts_;
};

}  // namespace moe
