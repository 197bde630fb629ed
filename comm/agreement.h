// Ranks that find out whether one of them met an error, before any of them acts on it.
#pragma once
#include <string>

#include "comm/communicator.h"

namespace moe {

// Text that a rank shows to all others.
struct RankText {
  int rank = 0;
  std::string text;  // empty: no rank has any
};

// Collective. Returns the text of the lowest rank whose text is not empty; the same on every rank.
RankText first_text(Communicator& ranks, const std::string& mine);

// Collective. The text of rank `root`, on every rank.
std::string broadcast_text(Communicator& ranks, const std::string& text, int root);

}  // namespace moe
