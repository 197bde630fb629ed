#include "comm/agreement.h"

#include <vector>

namespace moe {

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
