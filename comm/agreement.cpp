#include "comm/agreement.h"

#include <map>

#include "comm/rank_texts.h"
#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/name_hash.h"
#include "core/base/text.h"

namespace moe {

// Names and values may be any bytes: each is preceded by its length.
static std::string to_text(const Facts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) {
    for (const std::string& part : {name, value}) text += fmt::format("{} {}", part.size(), part);
  }
  return text;
}

static std::map<std::string, std::string> from_text(const std::string& text) {
  size_t at = 0;
  const auto next = [&] {
    const size_t blank = text.find(' ', at), size = std::stoul(text.substr(at, blank - at));
    at = blank + 1 + size;
    return text.substr(blank + 1, size);
  };
  std::map<std::string, std::string> facts;
  while (at < text.size()) {
    std::string name = next();
    facts[std::move(name)] = next();
  }
  return facts;
}

static std::string difference(const std::string& mine, const std::string& theirs, const std::string& where,
                              size_t most) {
  const auto first = from_text(mine), other = from_text(theirs);
  std::vector<std::string> lines;
  const auto value = [](const auto& facts, const std::string& name) {
    const auto found = facts.find(name);
    return found == facts.end() ? std::string("(absent)") : shown(found->second);
  };
  std::map<std::string, std::string> all = first;
  all.insert(other.begin(), other.end());
  for (const auto& [name, ignored] : all) {
    const std::string here = value(first, name), there = value(other, name);
    if (here != there) lines.push_back(fmt::format("{}: {} on {}, {} on rank 0", shown(name), there, where, here));
  }
  const size_t count = lines.size();
  if (count > most) lines.resize(most);
  return join(lines, "; ") + (count > most ? fmt::format("; and {} more", count - most) : "");
}

std::string disagreement(Communicator& world, const Facts& facts, size_t most) {
  if (world.size() == 1) return "";
  const std::string text = to_text(facts);
  // Texts that differ by accident have the same size and hash once in four billion cases.
  const std::vector<std::string> hashes = gather_texts(world, fmt::format("{} {:08x}", text.size(), name_hash(text)));
  size_t rank = 0;
  while (rank < hashes.size() && hashes[rank] == hashes[0]) ++rank;
  if (rank == hashes.size()) return "";
  const std::vector<std::string> hosts = gather_texts(world, host_name()), texts = gather_texts(world, text);
  return difference(texts[0], texts[rank], fmt::format("rank {} (host {})", rank, shown(hosts[rank])), most);
}

void require_agreement(Communicator& world, const std::string& what, const Facts& facts) {
  const std::string found = disagreement(world, facts);
  if (!found.empty()) raise<UsageError>("the ranks were not given {}: {}", what, found);
}

}  // namespace moe
