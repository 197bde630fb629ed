#include "comm/rank_texts.h"

#include <algorithm>

namespace moe {

std::vector<std::string> gather_texts(Communicator& world, const std::string& text) {
  double longest = static_cast<double>(text.size());
  world.all_reduce_max(as_tensor(std::span(&longest, 1)));
  const auto ranks = static_cast<size_t>(world.size()), width = static_cast<size_t>(longest) + 1;
  // A row per rank: the length, then the bytes. All rows but the own one are zero, so the sum is an exact gather.
  std::vector<int32_t> rows(ranks * width, 0);
  int32_t* const own = rows.data() + static_cast<size_t>(world.rank()) * width;
  own[0] = static_cast<int32_t>(text.size());
  std::transform(text.begin(), text.end(), own + 1,
                 [](char c) { return static_cast<int32_t>(static_cast<unsigned char>(c)); });
  world.all_reduce_sum(as_tensor(std::span(rows)));
  std::vector<std::string> result(ranks);
  for (size_t rank = 0; rank < ranks; ++rank) {
    const int32_t* const row = rows.data() + rank * width;
    for (int32_t i = 0; i < row[0]; ++i) result[rank] += static_cast<char>(row[1 + i]);
  }
  return result;
}

std::string broadcast_text(Communicator& ranks, const std::string& text, int root) {
  auto length = static_cast<double>(text.size());
  ranks.broadcast(as_tensor(std::span(&length, 1)), root);
  // One character per number: texts are short, and communicators have no tensors of bytes.
  std::vector<int32_t> characters(static_cast<size_t>(length));
  for (size_t i = 0; i < characters.size() && ranks.rank() == root; ++i)
    characters[i] = static_cast<unsigned char>(text[i]);
  if (!characters.empty()) ranks.broadcast(as_tensor(std::span(characters)), root);
  std::string result;
  for (const int32_t c : characters) result += static_cast<char>(c);
  return result;
}

RankText first_text(Communicator& ranks, const std::string& mine) {
  double distance = mine.empty() ? 0 : static_cast<double>(ranks.size() - ranks.rank());  // of the rank from the end
  ranks.all_reduce_max(as_tensor(std::span(&distance, 1)));
  if (distance == 0) return {};
  const int rank = ranks.size() - static_cast<int>(distance);
  return {rank, broadcast_text(ranks, mine, rank)};
}

}  // namespace moe
