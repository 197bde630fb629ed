// Texts that ranks show to each other.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// Collective: the text of each rank, by rank, on every rank.
std::vector<std::string> gather_texts(Communicator& world, const std::string& text);

struct RankText {
  int rank = 0;
  std::string text;  // empty: no rank has any
};

// Collective. The text of the lowest rank whose text is not empty, such as an error that a rank met before any rank
// acts on it; the same on every rank.
RankText first_text(Communicator& ranks, const std::string& mine);

// Collective. The text of rank `root`, on every rank.
std::string broadcast_text(Communicator& ranks, const std::string& text, int root);

}  // namespace moe
